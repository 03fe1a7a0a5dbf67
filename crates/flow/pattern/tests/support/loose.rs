//! An event written in another of its many spellings: white space, escapes, numbers, and names that come twice.

use serde_json::Value;
use waag_fixtures::prng::SplitMix;

/// Writes `value` so that a reader for whom the last of equal names counts reads the same value.
pub(crate) fn write(value: &Value, random: &mut SplitMix, out: &mut String) {
    space(random, out);
    match value {
        Value::Object(members) => {
            out.push('{');
            let mut first = true;
            for (name, member) in members {
                // What an earlier member of the same name held must not count; half of the time it is much the same.
                if random.below(6) == 0 {
                    let decoy = if random.below(2) == 0 { member } else { value };
                    comma(&mut first, out);
                    text(name, random, out);
                    out.push(':');
                    write(decoy, random, out);
                }
                comma(&mut first, out);
                text(name, random, out);
                space(random, out);
                out.push(':');
                write(member, random, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            let mut first = true;
            for item in items {
                comma(&mut first, out);
                write(item, random, out);
            }
            out.push(']');
        }
        Value::String(string) => text(string, random, out),
        Value::Number(number) => {
            let number = number.to_string();
            let spelling = match random.below(4) {
                0 => format!("{number}e0"),
                1 if !number.contains('.') => format!("{number}.000"),
                2 if !number.contains('.') => format!("{number}.00E+0"),
                3 if number.contains('.') => format!("{number}0"),
                _ => number,
            };
            out.push_str(&spelling);
        }
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
    space(random, out);
}

fn comma(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn space(random: &mut SplitMix, out: &mut String) {
    if random.below(5) == 0 {
        out.push_str(if random.below(2) == 0 { " " } else { "\r\n\t " });
    }
}

fn text(string: &str, random: &mut SplitMix, out: &mut String) {
    out.push('"');
    for letter in string.chars() {
        if random.below(6) == 0 || letter == '"' || letter == '\\' || letter < ' ' {
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(letter);
        }
    }
    out.push('"');
}
