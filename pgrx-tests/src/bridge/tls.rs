//! A certificate for 127.0.0.1, made for one bridge.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub(super) struct Certificate {
    /// The certificate in DER, which `tls-server-end-point` hashes, here with SHA-256.
    pub(super) der: Vec<u8>,
    /// A file with the certificate, for clients that verify the server.
    pub(super) file: PathBuf,
    pub(super) config: Arc<ServerConfig>,
}

impl Certificate {
    pub(super) fn new(dir: &Path) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let file = dir.join("bridge.crt");
        fs::write(&file, made.cert.pem()).expect("bridge.crt");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("a TLS configuration");
        Self { der: made.cert.der().to_vec(), file, config: Arc::new(config) }
    }
}
