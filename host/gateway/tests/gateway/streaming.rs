//! Bodies pass as they come, in both directions.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{read_to_end, read_until, responses};
use crate::harness::Gateway;

#[tokio::test]
async fn a_response_is_sent_as_it_is_made() {
    let gateway = Gateway::start().await;
    for (fields, kind) in [("", "text/plain"), ("Accept-Encoding: gzip\r\n", "text/event-stream")] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("GET /stream?type={kind} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        for part in ["first ", "second ", "third"] {
            gateway.component.steps.add_permits(1);
            bytes.extend(read_until(&mut stream, part).await.into_bytes());
        }
        bytes.extend(read_to_end(&mut stream).await);
        assert!(responses(&bytes)[0].whole);
    }
}

/// Compressed, the first piece leaves before the second is made, too.
#[tokio::test]
async fn a_compressed_response_is_sent_as_it_is_made() {
    let gateway = Gateway::start().await;
    for coding in ["gzip", "br", "zstd"] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request =
            format!("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: {coding}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        gateway.component.steps.add_permits(1);
        let mut bytes = Vec::new();
        while responses_so_far(&bytes) == 0 {
            let mut chunk = [0; 4096];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut chunk);
            let length = tokio::time::timeout(crate::client::PATIENCE, read).await.expect(coding).unwrap();
            bytes.extend_from_slice(&chunk[..length]);
        }
        gateway.component.steps.add_permits(2);
        bytes.extend(read_to_end(&mut stream).await);
        let responses = responses(&bytes);
        assert_eq!(responses[0].field("content-encoding"), Some(coding));
        assert!(responses[0].whole);
        assert_eq!(crate::edge::decoded(&responses[0]).await, "first second third");
    }
}

/// Bytes of the body that have come, framing included.
fn responses_so_far(bytes: &[u8]) -> usize {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    head.map_or(0, |head| bytes.len() - head - 4)
}

#[tokio::test]
async fn a_request_is_handed_on_as_it_comes() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for part in ["first ", "second ", "third"] {
        stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await.unwrap();
        // The echo of this part arrives before the next one is sent.
        read_until(&mut stream, part).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with(b"0\r\n\r\n"));
    gateway.component.until_alive(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let gateway = Gateway::start().await;
    for path in ["/wait", "/stall"] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        gateway.component.until_alive(1).await;
        drop(stream);
        gateway.component.until_alive(0).await;
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests_in_order() {
    let gateway = Gateway::start().await;
    let mut sent = String::new();
    for number in 0..20 {
        sent.push_str(&format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}"));
    }
    sent.push_str("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let responses = crate::client::exchange(gateway.address, sent.as_bytes()).await;
    let texts: Vec<String> = responses.iter().map(crate::client::Response::text).collect();
    let expected: Vec<String> = (0..20).map(|number| format!("{number:02}")).chain(["hello".to_owned()]).collect();
    assert_eq!(texts, expected);
}
