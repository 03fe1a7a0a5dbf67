//! Secrets and signatures of the Standard Webhooks specification, symmetric scheme `v1`.
//!
//! `HOOK-4`: a secret shows itself only through [`Secret::reveal`]; memory that held one is zeroed.
//! Not here: where secrets are kept (`flow/router`, wrapped). Source: Standard Webhooks 1.0.0, "Signature scheme".

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use waag_stdx::entropy::{Entropy, NoEntropy};
use zeroize::Zeroizing;

use crate::error::WebhookError;

/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 24;
/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 64;
/// Bytes of a secret that is made here.
const SECRET_BYTES: usize = 32;
/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// Receivers' libraries differ in whether they pad.
const READ: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key that a target's requests are signed with, known to the receiver.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// [`WebhookError::Secret`], which tells nothing of the text.
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let encoded =
            text.strip_prefix(PREFIX).ok_or(WebhookError::Secret("it does not begin with `whsec_`"))?;
        // A longer text is not decoded, and decoding needs no more than this.
        let mut bytes = Zeroizing::new(vec![0; 2 * SECRET_BYTES_MAX]);
        let length = READ.decode_slice(encoded, &mut bytes).map_err(|error| match error {
            base64::DecodeSliceError::OutputSliceTooSmall => LENGTH,
            base64::DecodeSliceError::DecodeError(_) => {
                WebhookError::Secret("it is not base64 behind `whsec_`")
            }
        })?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&length) {
            return Err(LENGTH);
        }
        // Bytes behind the length are zero, and the vector is zeroed to its capacity.
        bytes.truncate(length);
        Ok(Self(bytes))
    }

    /// A new one of 32 random bytes.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
        entropy.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Its text, for the receiver and for the store that keeps it wrapped.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        // Room for all of it, so that no copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * SECRET_BYTES_MAX));
        text.push_str(PREFIX);
        STANDARD.encode_string(self.0.as_slice(), &mut text);
        text
    }

    /// The signature of a message: `v1,` and HMAC-SHA-256 over id, `.`, seconds since 1970, `.`, body, in base64.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(id.as_bytes());
        context.update(format!(".{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

const LENGTH: WebhookError = WebhookError::Secret("it has less than 24 bytes or more than 64");

/// One signature for each secret, separated by spaces, so that receivers of the old and of the new one verify.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let each: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp_s, body)).collect();
    each.join(" ")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use waag_stdx::entropy::SystemEntropy;

    use super::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, Secret, signatures};

    #[test]
    fn the_signature_is_the_one_of_the_reference_libraries() {
        // The vector that the libraries of the specification's own project are tested with.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn several_secrets_sign_in_order() {
        let secrets = [(); 2].map(|()| Secret::generate(&SystemEntropy::new()).unwrap());
        let both = signatures(&secrets, "id", 7, b"body");
        assert_eq!(
            both,
            format!("{} {}", secrets[0].sign("id", 7, b"body"), secrets[1].sign("id", 7, b"body"))
        );
        assert_ne!(secrets[0].sign("id", 7, b"body"), secrets[1].sign("id", 7, b"body"));
    }

    #[test]
    fn lengths_are_held_at_both_ends_and_padding_is_free() {
        for length in 0..=2 * SECRET_BYTES_MAX + 2 {
            let bytes = vec![7; length];
            let is_fine = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&length);
            for text in [STANDARD.encode(&bytes), STANDARD_NO_PAD.encode(&bytes)] {
                let read = Secret::parse(&format!("whsec_{text}"));
                assert_eq!(read.is_ok(), is_fine, "{length}");
                if let Ok(secret) = read {
                    assert_eq!(secret.reveal().as_str(), format!("whsec_{}", STANDARD.encode(&bytes)));
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_secret_is_told() {
        let text = Secret::generate(&SystemEntropy::new()).unwrap().reveal();
        let secret = Secret::parse(&text).unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(…) Secret(…)");
        let body = text.strip_prefix("whsec_").unwrap();
        for wrong in [
            body.to_owned(),
            format!("{}!", text.as_str()),
            format!("whsec_{body}{body}{body}"),
            String::new(),
        ] {
            let told = Secret::parse(&wrong).unwrap_err();
            assert!(!told.to_string().contains(body) && !format!("{told:?}").contains(body), "{told}");
            assert_eq!(told.code(), "E1162");
        }
    }
}
