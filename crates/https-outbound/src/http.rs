//! One request, so that a server which refuses the client certificate after the handshake (TLS 1.3) gets to say so.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use zmon_domain::settings::{ServerHost, ServerUrl};
use zmon_ports::ConnectionFault;

use crate::words;

/// With these nginx answers over a connection whose client certificate it does not take.
const CERTIFICATE_REFUSED: [u16; 3] = [400, 495, 496];

pub(crate) async fn ask(url: &ServerUrl, stream: TlsStream<TcpStream>) -> Result<(), ConnectionFault> {
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(url.resource())
        .header(HOST, authority(url))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|fault| words::no_answer(&fault))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|fault| words::no_answer(&fault))?;
    // Ends with this function, however that ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|fault| words::no_answer(&fault))?;
    let status = answer.status().as_u16();
    if CERTIFICATE_REFUSED.contains(&status) {
        return Err(words::certificate_refused(status));
    }
    Ok(())
}

fn authority(url: &ServerUrl) -> String {
    match url.host() {
        ServerHost::Name(name) => format!("{name}:{}", url.port()),
        ServerHost::Address(address) => SocketAddr::new(*address, url.port()).to_string(),
    }
}
