//! A client that sends what it is told, byte by byte, and reads HTTP/1.1 responses.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing in the tests takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to the end that its framing promised.
    pub(crate) whole: bool,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last segment of a problem's type, after a look at the whole document.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.field("cache-control"), Some("no-store"));
        let document = self.json();
        assert_eq!(document["status"], self.status);
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        }
        assert_eq!(document["traceId"].as_str().map(str::len), Some(32));
        let id = self.field("x-request-id").unwrap();
        assert_eq!(document["instance"], format!("urn:uuid:{id}"));
        document["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

/// Send bytes, close the sending side, and read whatever comes until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<Response> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    responses(&read_to_end(&mut stream).await)
}

/// Everything that comes until the other side closes, or resets.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 65536];
    loop {
        match timeout(PATIENCE, stream.read(&mut chunk)).await.expect("the connection stays open") {
            Ok(0) | Err(_) => return bytes,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}

/// Read until what has come contains `needle`.
pub(crate) async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&bytes).contains(needle) {
        let length = timeout(PATIENCE, stream.read(&mut chunk)).await.expect("nothing comes").unwrap();
        assert_ne!(length, 0, "closed before {needle:?}: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Split what came into responses (to requests other than HEAD).
pub(crate) fn responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        bytes = &bytes[end + 4..];
        if status == 100 {
            continue;
        }
        let mut response = Response { status, fields, body: Vec::new(), whole: true };
        bytes = take_body(&mut response, bytes);
        found.push(response);
    }
    found
}

fn take_body<'bytes>(response: &mut Response, mut bytes: &'bytes [u8]) -> &'bytes [u8] {
    if response.field("transfer-encoding") != Some("chunked") {
        let length = response.field("content-length").map_or(0, |length| length.parse().unwrap());
        let taken = length.min(bytes.len());
        response.whole = taken == length;
        response.body = bytes[..taken].to_vec();
        return &bytes[taken..];
    }
    loop {
        let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else {
            response.whole = false;
            return &[];
        };
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        bytes = &bytes[line + 2..];
        if bytes.len() < size + 2 {
            response.whole = false;
            return &[];
        }
        response.body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
        if size == 0 {
            return bytes;
        }
    }
}

/// Send a HEAD request and read its response, which has no body whatever its fields say.
pub(crate) async fn exchange_head(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let text = String::from_utf8(read_to_end(&mut stream).await).unwrap();
    assert!(text.ends_with("\r\n\r\n"), "a response to HEAD has no body: {text}");
    text
}
