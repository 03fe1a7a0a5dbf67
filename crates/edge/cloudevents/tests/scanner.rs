//! Our scanner and another one agree over any input: near-JSON of all kinds, and every file of the fuzz corpus.
//!
//! The tables of `json_grammar.rs` are put to both as well, there.

#[path = "support/oracle.rs"]
mod oracle;

use std::path::Path;

use proptest::prelude::*;

/// Pieces that JSON is made of, and pieces that are nearly so.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\"a\":",
    "\"b\" :",
    "\"\\u0061\":1,",
    "{\"a\":",
    "[1,",
    "]}",
    "null",
    "true",
    "false",
    "nul",
    "tru ",
    "falsE",
    "0",
    "-0",
    "7",
    "-",
    ".",
    "e",
    "E+",
    "e-3",
    "12.50",
    "1e400",
    "1e401",
    "99999999999999999",
    "123456789012345678",
    "9223372036854775808",
    "\"x\"",
    "\"\"",
    "\\n",
    "\\/",
    "\\u00e9",
    "\\ud83d",
    "\\ude00",
    "\\uD8",
    "\\x",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{b}",
    "\0",
    "\u{1f}",
    "\u{7f}",
    "é",
    "€",
    "😀",
    "\u{feff}",
    "/",
    "'",
    "NaN",
    "Infinity",
    "-Infinity",
    "eight by",
    "a longer plain run of text",
];

/// Whole values that are taken, to be damaged.
fn whole() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "\"([ !#-\\[\\]-~é€😀]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-fA-F]|\\\\ud83d\\\\ude0[0-9]){0,24}\"",
    ];
    let space = prop_oneof![Just(""), Just(" "), Just("\n\t\r ")];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let member = ("\"[a-d]{0,2}\"", space.clone(), inner.clone())
            .prop_map(|(n, s, v)| format!("{s}{n}{s}:{s}{v}"));
        let element = (space.clone(), inner).prop_map(|(s, v)| format!("{s}{v}{s}"));
        prop_oneof![
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            prop::collection::vec(element, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_048) })]

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12)) {
        let text = pieces.concat();
        oracle::agrees_on(text.as_bytes());
        oracle::agrees_on(format!("[{text}]").as_bytes());
        oracle::agrees_on(format!("\"{text}\"").as_bytes());
        oracle::agrees_on(format!("{{\"k\":{text}}}").as_bytes());
    }

    #[test]
    fn whole_values_and_what_damage_makes_of_them(
        text in whole(),
        at: prop::sample::Index,
        byte: u8,
        piece in prop::sample::select(PIECES),
    ) {
        oracle::agrees_on(text.as_bytes());
        let at = at.index(text.len());
        oracle::agrees_on(&text.as_bytes()[..at]);
        let mut changed = text.clone().into_bytes();
        changed[at] = byte;
        oracle::agrees_on(&changed);
        let mut longer = text.into_bytes();
        longer.splice(at..at, piece.bytes());
        oracle::agrees_on(&longer);
    }
}

/// The generator's values are taken, so that the test above is not one of refusals alone; repeated names and numbers out
/// of range are what it makes too.
#[test]
fn most_whole_values_are_taken() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let taken = (0..400).filter(|_| {
        let tree = whole().new_tree(&mut runner).unwrap();
        oracle::agrees_on(proptest::strategy::ValueTree::current(&tree).as_bytes())
    });
    let taken = taken.count();
    assert!(taken > 200, "{taken} of 400");
}

#[test]
fn every_file_of_the_fuzz_corpus_whole_and_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/cloudevents");
    let mut taken = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let input = std::fs::read(file.unwrap().path()).unwrap();
        taken += usize::from(oracle::agrees_on(&input));
        // Cut anywhere near the end: the scanner's last word has fewer than eight bytes there.
        for cut in 1..=40.min(input.len()) {
            oracle::agrees_on(&input[..input.len() - cut]);
        }
    }
    assert!(taken >= 10, "the corpus is there: {taken} taken");
}
