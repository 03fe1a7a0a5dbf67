//! Any values whatever: the result is the JSON that a slow model makes, or an error (`TRANSFORM-1`, `TRANSFORM-2`).
//!
//! The model puts values into a tree; it knows nothing of texts and brackets.

use proptest::prelude::*;
use serde_json::json;
use waag_router::transform::Transform;

use crate::transform;

/// A JSON value as the model knows it.
#[derive(Clone, Debug)]
enum Json {
    Word(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What a template has in its texts.
#[derive(Clone, Debug)]
enum Part {
    Plain(String),
    Variable(usize),
}

/// A template as the model knows it.
#[derive(Clone, Debug)]
enum Form {
    Value(Json),
    Variable(usize),
    Text(Vec<Part>),
    Array(Vec<Form>),
    Object(Vec<(String, Form)>),
}

impl Json {
    /// As JSON; every third character or so is an escape, and white space stands wherever it may.
    fn write(&self, out: &mut String, turn: &mut u32) {
        let mut space = |out: &mut String| {
            *turn = turn.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            out.push_str(match (*turn >> 16) % 4 {
                0 => " ",
                1 => "\n\t",
                _ => "",
            });
        };
        space(out);
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Text(text) => write_text(text, out, turn),
            Self::Array(values) => {
                out.push('[');
                for (place, value) in values.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    value.write(out, turn);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    out.push_str(if place == 0 { " " } else { ", " });
                    write_text(name, out, turn);
                    out.push_str(" :");
                    value.write(out, turn);
                }
                out.push('}');
            }
        }
    }

    /// As it stands within quotation marks.
    fn plain(&self) -> String {
        let join = |texts: Vec<String>| texts.join(",");
        match self {
            Self::Word(text) | Self::Text(text) => text.clone(),
            Self::Array(values) => format!("[{}]", join(values.iter().map(Self::plain).collect())),
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{name}:{}", value.plain()));
                format!("{{{}}}", join(members.collect()))
            }
        }
    }

    fn parsed(&self) -> serde_json::Value {
        let mut text = String::new();
        self.write(&mut text, &mut 1);
        serde_json::from_str(&text).unwrap()
    }
}

fn write_text(text: &str, out: &mut String, turn: &mut u32) {
    out.push('"');
    for c in text.chars() {
        *turn = turn.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        if c < ' ' || matches!(c, '"' | '\\') || (*turn >> 16).is_multiple_of(3) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

impl Form {
    /// The template's text; placeholders are `<v0>` and so on.
    fn write(&self, out: &mut String) {
        match self {
            // Brackets of a value's own would be placeholders.
            Self::Value(value) => {
                let mut text = String::new();
                value.write(&mut text, &mut 7);
                out.push_str(&text.replace('<', "\\u003c"));
            }
            Self::Variable(number) => out.push_str(&format!(" <v{number}> ")),
            Self::Text(parts) => {
                out.push('"');
                for part in parts {
                    match part {
                        Part::Plain(text) => {
                            let quoted = serde_json::to_string(text).unwrap().replace('<', "\\u003c");
                            out.push_str(
                                quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap(),
                            );
                        }
                        Part::Variable(number) => out.push_str(&format!("<v{number}>")),
                    }
                }
                out.push('"');
            }
            Self::Array(values) => {
                out.push('[');
                for (place, value) in values.iter().enumerate() {
                    out.push_str(if place == 0 { "\n" } else { ", " });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { " ,\t" });
                    out.push_str(&serde_json::to_string(name).unwrap().replace('<', "\\u003c"));
                    out.push_str(" : ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// What the template becomes with these values; the variables beyond them are missing.
    fn filled(&self, values: &[Json]) -> Json {
        match self {
            Self::Value(value) => value.clone(),
            Self::Variable(number) => values.get(*number).cloned().unwrap_or(Json::Text(String::new())),
            Self::Text(parts) => Json::Text(
                parts
                    .iter()
                    .map(|part| match part {
                        Part::Plain(text) => text.clone(),
                        Part::Variable(number) => values.get(*number).map(Json::plain).unwrap_or_default(),
                    })
                    .collect(),
            ),
            Self::Array(forms) => Json::Array(forms.iter().map(|form| form.filled(values)).collect()),
            Self::Object(members) => {
                let members = members.iter().map(|(name, form)| (name.clone(), form.filled(values)));
                Json::Object(members.collect())
            }
        }
    }
}

fn texts() -> impl Strategy<Value = String> {
    let odd = [
        "\"", "\\", "<v0>", "<", ">", "{", "}", "[", ",", ":", "\n", "\u{0}", "\u{1f}", "é", "😀",
        "\u{2028}", "v1", " ",
    ];
    prop_oneof![
        proptest::collection::vec(proptest::sample::select(odd.to_vec()), 0..6)
            .prop_map(|texts| texts.concat()),
        any::<String>(),
    ]
}

fn members<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<(String, T)>> {
    // Names that differ: what becomes of equal ones is another test's.
    proptest::collection::vec((texts(), of), 0..4).prop_map(|members| {
        (0..).zip(members).map(|(n, (name, value))| (format!("{n}{name}"), value)).collect()
    })
}

fn values() -> impl Strategy<Value = Json> {
    let words = ["null", "true", "false", "0", "-0.0", "1.50", "12345678901234567890.123", "1E-7"];
    let leaf = prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(|word| Json::Word(word.to_owned())),
        texts().prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            members(inner).prop_map(Json::Object),
        ]
    })
}

fn forms() -> impl Strategy<Value = Form> {
    let part = prop_oneof![texts().prop_map(Part::Plain), (0_usize..5).prop_map(Part::Variable)];
    let leaf = prop_oneof![
        values().prop_map(Form::Value),
        (0_usize..5).prop_map(Form::Variable),
        proptest::collection::vec(part, 0..5).prop_map(Form::Text),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Form::Array),
            members(inner).prop_map(Form::Object),
        ]
    })
}

/// Five variables at `/data/0` to `/data/4`.
fn with_five(template: &str) -> Transform {
    let paths: serde_json::Map<_, _> =
        (0..5).map(|n| (format!("v{n}"), format!("/data/{n}").into())).collect();
    transform(json!({"paths": paths, "template": template}))
}

proptest! {
    #[test]
    fn results_are_what_the_model_makes(
        form in forms(), data in proptest::collection::vec(values(), 0..5), mut turn: u32,
    ) {
        let (mut template, mut event) = (String::new(), String::new());
        form.write(&mut template);
        Json::Object(vec![("data".to_owned(), Json::Array(data.clone()))]).write(&mut event, &mut turn);
        let result = with_five(&template).compile().unwrap().apply(event.as_bytes()).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
        prop_assert_eq!(result, form.filled(&data).parsed());
    }

    #[test]
    fn any_template_gives_json_or_an_error(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "<v0>", "<v1>", "<v2>", "<v4>", "<", ">", "\"", "\"", "\\", "{", "}", "[", "]", ":", ",", "1", "-", "x",
            "\\u00", "41", "\\ud83d", "\\ude00", " ", "\n", "true", "<waag.event>", "<waag.event.json>", "é",
        ]), 0..9),
        data in proptest::collection::vec(values(), 0..4),
        mut turn: u32,
    ) {
        let mut event = String::new();
        Json::Object(vec![("data".to_owned(), Json::Array(data))]).write(&mut event, &mut turn);
        if let Ok(compiled) = with_five(&pieces.concat()).compile() {
            let result = compiled.apply(event.as_bytes()).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&result).is_ok(), "{:?}", result);
        }
    }

    #[test]
    fn any_event_gives_json_or_an_error(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"data\"", "\"0\"", "\"", "\\", "\\u0041", "\\ud83d", "\\ude00", "1", "-",
            ".5", "null", " ", "<v0>", "é", "\u{1}",
        ]), 0..12),
        bytes: Vec<u8>,
        is_text: bool,
    ) {
        let event = if is_text { pieces.concat().into_bytes() } else { bytes };
        let is_json = serde_json::from_slice::<serde_json::Value>(&event).is_ok();
        for template in ["[<v0>,\"<v1>\",<waag.event>]", "<waag.event.json>"] {
            let result = with_five(template).compile().unwrap().apply(&event);
            prop_assert_eq!(result.is_ok(), is_json, "{:?}", &result);
            if let Ok(result) = result {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&result).is_ok(), "{:?}", result);
            }
        }
    }

    #[test]
    fn any_path_is_understood_or_refused(path in "[$./\\[\\]'\"\\\\*a0~-]{0,12}|\\PC{0,12}") {
        let found = transform(json!({"path": path})).compile().map(|compiled| compiled.apply(b"{\"a\":[[0]]}"));
        match found {
            Ok(Ok(value)) => prop_assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok()),
            Ok(Err(error)) => prop_assert_eq!(error.code(), "E1186"),
            Err(error) => prop_assert_eq!(error.code(), "E1182"),
        }
    }
}
