//! Opening a part: its own secret opens it, in raw and compressed form and through a blob; nothing else does.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

mod support;

use serde_json::{Value as Json, json};
use support::{How, ORIGIN, Sealed, dictionary, given, given_blob, given_part, ledger, prove, signer, vkey};
use waag_entry::part::PartSecret;
use waag_verify::error::VerifyError;
use waag_verify::report::{verified_json, verified_text};
use waag_verify::verify::{Given, verify};

fn world(how: &How<'_>) -> (Sealed, Given) {
    let own = signer(ORIGIN, 1);
    let (sealed, proof) = ledger(6, 4, how, &[&own]);
    let given = given(&sealed.bytes, &proof, &[vkey(&own)]);
    (sealed, given)
}

fn opened(given: &Given) -> Result<Json, VerifyError> {
    let report: Json = serde_json::from_str(&verified_json(&verify(given)?)?).unwrap();
    Ok(report.get("part").unwrap().clone())
}

fn code(given: &Given) -> &'static str {
    let error = verify(given).err().unwrap();
    assert_eq!(error.exit(), 1);
    error.code()
}

#[test]
fn a_part_opens_with_its_secret_and_shows_its_exact_content() {
    let (sealed, mut given) = world(&How::default());
    given.part = Some(given_part(0, &sealed.secrets[0]));
    let text = verified_json(&verify(&given).unwrap()).unwrap();
    assert!(text.contains(r#""amount":12.50,"#), "{text}");
    assert!(text.contains(&format!(r#""huge":{}"#, i128::MAX)), "{text}");
    let common = opened(&given).unwrap();
    assert_eq!(common["role"], "common");
    assert_eq!(common["content"]["id"], "exp-4");
    assert_eq!(common["content"]["actor"], "hr-system");
    assert_eq!(common["content"]["attributes"], json!({"time": "2026-11-02T08:30:00Z"}));
    // Data that looks like a placeholder is not among the withheld places.
    assert_eq!(common["content"]["data"]["employee"], common["content"]["data"]["fake"]);
    assert_eq!(common["withheld"], json!([{"path": "/data/employee", "part": 1}]));
    given.part = Some(given_part(1, &sealed.secrets[1]));
    let person = opened(&given).unwrap();
    assert_eq!(person["content"], json!({"/data/employee": {"id": "E-4", "name": "Ada \u{1b}[2J Berg"}}));
    assert_eq!(
        (&person["index"], &person["role"], &person["withheld"]),
        (&json!(1), &json!("person"), &json!([]))
    );
    let text = verified_text(&verify(&given).unwrap()).unwrap();
    assert!(!text.contains('\u{1b}') && text.contains("Ada \\u001b[2J Berg"), "{text}");
}

#[test]
fn a_wrong_secret_index_or_ledger_opens_nothing() {
    let (sealed, mut given) = world(&How::default());
    for (index, secret, want) in [
        (0, &sealed.secrets[1], "E0204"),
        (1, &sealed.secrets[0], "E0204"),
        (1, &PartSecret::new([0; 32]), "E0204"),
        (2, &sealed.secrets[1], "E0209"),
        (7, &sealed.secrets[1], "E0209"),
    ] {
        given.part = Some(given_part(index, secret));
        let got = code(&given);
        assert_eq!(got, want, "part {index}");
    }
    for bit in 0..256 {
        let mut secret = sealed.secrets[1].clone();
        secret[bit / 8] ^= 1 << (bit % 8);
        given.part = Some(given_part(1, &secret));
        assert_eq!(code(&given), "E0204");
    }
    // The same entry in the tree of another ledger is proven there, and is not that ledger's to open.
    for (origin, want) in
        [("waag.example/acme/ffffffffffffffffffffffffffffffff", "E0205"), ("waag.example/acme", "E0754")]
    {
        let other = signer(origin, 1);
        given.proof = prove(std::slice::from_ref(&sealed.bytes), 0, origin, &[&other]);
        given.keys = vec![vkey(&other)];
        given.part = None;
        assert!(verify(&given).is_ok());
        given.part = Some(given_part(1, &sealed.secrets[1]));
        assert_eq!(code(&given), want);
    }
}

#[test]
fn a_compressed_part_needs_its_dictionary() {
    let dictionary = dictionary();
    let (sealed, mut given) = world(&How { dictionary: Some(&dictionary), ..How::default() });
    let with = |bytes: Option<&[u8]>| {
        let mut part = given_part(0, &sealed.secrets[0]);
        part.dictionary = bytes.map(<[u8]>::to_vec);
        Some(part)
    };
    given.part = with(Some(dictionary.bytes()));
    assert_eq!(opened(&given).unwrap()["content"]["id"], "exp-4");
    let mut changed = dictionary.bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, want) in
        [(None, "E0206"), (Some(&changed[..]), "E0206"), (Some(&b"none"[..]), "E0207"), (Some(&[]), "E0207")]
    {
        given.part = with(bytes);
        let got = code(&given);
        assert_eq!(got, want);
    }
}

#[test]
fn a_part_in_a_blob_opens_with_the_blob_and_its_own_secret() {
    let dictionary = dictionary();
    for dictionary in [None, Some(&dictionary)] {
        let (sealed, mut given) = world(&How { dictionary, person_as_blob: true });
        let (bytes, secret) = sealed.blob.as_ref().unwrap();
        let mut with = |index: usize, blob: Option<(&[u8], &PartSecret)>| {
            let mut part = given_part(index, &sealed.secrets[index]);
            part.dictionary = dictionary.map(|dictionary| dictionary.bytes().to_vec());
            part.blob = blob.map(|(bytes, secret)| given_blob(bytes, secret));
            given.part = Some(part);
            opened(&given).map_err(|error| error.code())
        };
        let part = with(1, Some((bytes, secret))).unwrap();
        assert_eq!(part["content"]["/data/employee"]["id"], "E-4");
        // Without the blob the report names it and shows no content.
        let closed = with(1, None).unwrap();
        assert_eq!((&closed["content"], &closed["blob"]), (&Json::Null, &part["blob"]));
        assert_eq!(part["blob"].as_str().unwrap().len(), 64);
        assert_eq!(with(1, Some((bytes, &sealed.secrets[1]))).unwrap_err(), "E0204");
        assert_eq!(with(0, Some((bytes, secret))).unwrap_err(), "E0755");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(with(1, Some((&changed, secret))).unwrap_err(), "E0211");
            assert_eq!(with(1, Some((&bytes[..at], secret))).unwrap_err(), "E0211");
        }
    }
}

#[test]
fn a_part_that_does_not_open_leaves_nothing_verified() {
    let (sealed, mut given) = world(&How::default());
    given.part = Some(given_part(1, &sealed.secrets[0]));
    let error = verify(&given).err().unwrap();
    assert!(error.to_string().starts_with("the entry is proven, but its part 1 does not open: "), "{error}");
}
