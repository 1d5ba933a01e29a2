//! A certificate in the place of a client secret: the application signs for itself (RFC 7523).
//!
//! An assertion is good for ten minutes, for one use, at one token end point, and names the
//! certificate by its thumbprint, as Microsoft Entra ID wants it. It is not a store of certificates,
//! and does not know when one runs out.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::error::{ConnectError, ConnectErrorKind};

/// How long an assertion is good, seconds.
const LIFE: i64 = 600;
/// It is good from so long ago, seconds: the other side's clock may be behind.
const LEEWAY: i64 = 60;

/// A certificate with its private key. It never prints the key.
#[derive(Clone)]
pub struct Certificate {
    pem: SecretString,
    key: Arc<KeyPair>,
    thumbprint: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.thumbprint)
    }
}

impl Certificate {
    /// Reads a PEM text with one certificate (the first counts) and its RSA key, in either order.
    ///
    /// # Errors
    /// `Configuration` when either is missing or can't be read, the key is not RSA or is locked by a
    /// password, or the two do not belong together. The message repeats nothing of it.
    pub fn from_pem(pem: SecretString) -> Result<Self, ConnectError> {
        let bytes = pem.expose_secret().as_bytes();
        let certificate = CertificateDer::from_pem_slice(bytes).map_err(|_| {
            unfit("holds no certificate", "it has to hold certificate and key, both as PEM")
        })?;
        let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
            unfit(
                "holds no private key that can be read",
                "it has to hold certificate and key, both as PEM, and the key without a password",
            )
        })?;
        let only_rsa =
            || unfit("has a key that is not RSA", "make an RSA key of at least 2048 bits");
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(only_rsa()),
        };
        let key = key.map_err(|_| {
            unfit("has a key that can't be used", "make an RSA key of at least 2048 bits")
        })?;
        // The public key stands in a certificate just as it is written alone.
        if memchr::memmem::find(&certificate, key.public_key().as_ref()).is_none() {
            return Err(unfit(
                "has a key that does not belong to its certificate",
                "put the certificate and its own key into the file",
            ));
        }
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
        Ok(Self { pem, key: Arc::new(key), thumbprint })
    }

    pub(crate) fn pem(&self) -> &SecretString {
        &self.pem
    }

    /// A signed assertion that `client` is who it says, for the token end point `audience`. `now` is
    /// in ms since 1970. `None` when the library can't sign.
    pub(crate) fn assertion(&self, client: &str, audience: &str, now: i64) -> Option<SecretString> {
        let now = now.div_euclid(1000);
        let mut id = [0_u8; 16];
        rand::fill(&mut id);
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": audience,
            "iss": client,
            "sub": client,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "iat": now - LEEWAY,
            "nbf": now - LEEWAY,
            "exp": now + LIFE,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn unfit(why: &str, hint: &str) -> ConnectError {
    ConnectError::new(ConnectErrorKind::Configuration, format!("the certificate file {why}"))
        .hint(hint)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use insta::assert_snapshot;

    /// Made for these tests alone: `openssl req -x509 -newkey rsa:2048 -nodes -days 36500`.
    pub(crate) const PEM: &str = include_str!("certificate/test.pem");
    const OTHER: &str = include_str!("certificate/other-key.pem");

    fn part(name: &str) -> String {
        let lines = PEM.split_inclusive('\n');
        let start = lines.clone().position(|line| line.contains(&format!("BEGIN {name}"))).unwrap();
        let end = lines.clone().position(|line| line.contains(&format!("END {name}"))).unwrap();
        lines.skip(start).take(end - start + 1).collect()
    }

    /// The thumbprint and the signature, against what another library makes of the same certificate:
    /// `openssl x509 -fingerprint -sha256` and, by its public key, a verification of the whole.
    #[test]
    fn an_assertion_is_signed_by_the_key_of_the_certificate() {
        let certificate = Certificate::from_pem(PEM.into()).unwrap();
        let now = 1_795_132_800_000;
        let first = certificate.assertion("app", "https://login.example/token", now).unwrap();
        let parts: Vec<&str> = first.expose_secret().split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{parts:?}") };
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        };
        let header_read = read(header);
        assert_eq!(header_read["alg"], "PS256");
        let thumbprint = URL_SAFE_NO_PAD.decode(header_read["x5t#S256"].as_str().unwrap()).unwrap();
        let thumbprint: Vec<String> = thumbprint.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(thumbprint.join(":"), include_str!("certificate/thumbprint.txt").trim());
        let claims_read = read(claims);
        assert_eq!(claims_read["aud"], "https://login.example/token");
        assert_eq!((&claims_read["iss"], &claims_read["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims_read["nbf"], 1_795_132_740);
        assert_eq!(claims_read["exp"], 1_795_133_400);

        let key = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(include_bytes!(
            "certificate/public-key.pem"
        ))
        .unwrap();
        let key = aws_lc_rs::rsa::PublicKey::from_der(&key).unwrap();
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.as_ref());
        let signed = format!("{header}.{claims}");
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();

        let second = certificate.assertion("app", "https://login.example/token", now).unwrap();
        let second = read(second.expose_secret().split('.').nth(1).unwrap());
        assert_ne!(second["jti"], claims_read["jti"], "each is for one use");
    }

    #[test]
    fn a_file_that_will_not_do_is_told() {
        let (certificate, key) = (part("CERTIFICATE"), part("PRIVATE KEY"));
        Certificate::from_pem(format!("{certificate}{key}").into()).unwrap();
        Certificate::from_pem(format!("{key}{certificate}").into()).unwrap();
        let said = [
            String::new(),
            key.clone(),
            certificate.clone(),
            format!("{certificate}{OTHER}"),
            format!("{certificate}{}", key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
            format!("{certificate}{}", key.replace("PRIVATE KEY", "EC PRIVATE KEY")),
            format!("{certificate}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ]
        .map(|pem| Certificate::from_pem(pem.into()).unwrap_err().to_string());
        assert_snapshot!(said.join("\n"), @r"
        the certificate file holds no certificate
        hint: it has to hold certificate and key, both as PEM
        the certificate file holds no certificate
        hint: it has to hold certificate and key, both as PEM
        the certificate file holds no private key that can be read
        hint: it has to hold certificate and key, both as PEM, and the key without a password
        the certificate file has a key that does not belong to its certificate
        hint: put the certificate and its own key into the file
        the certificate file holds no private key that can be read
        hint: it has to hold certificate and key, both as PEM, and the key without a password
        the certificate file has a key that is not RSA
        hint: make an RSA key of at least 2048 bits
        the certificate file has a key that can't be used
        hint: make an RSA key of at least 2048 bits
        ");
        let printed = format!("{:?}", Certificate::from_pem(PEM.into()).unwrap());
        assert!(!printed.contains("KEY") && printed.len() < 80, "{printed}");
    }
}
