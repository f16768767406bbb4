//! Requests that two readers could take for different ones: never more than one response, never a second request.

use crate::client::exchange;
use crate::harness::Gateway;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Requests that are no HTTP: 400, and nothing that follows on the connection is read.
const MALFORMED: &[(&str, &str)] = &[
    ("two lengths", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("a list of lengths", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabcd"),
    ("a length with a sign", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
    ("a negative length", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc"),
    ("a hexadecimal length", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("a length beyond counting", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc"),
    ("an unknown coding", "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (
        "chunked, then another coding",
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked and another coding",
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    ),
    ("a coding in HTTP/1.0", "POST /count HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX-Folded: a\r\n b\r\n\r\n"),
    ("a folded coding", "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc"),
    ("a blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("a field without a colon", "GET / HTTP/1.1\r\nHost: a\r\nrubbish\r\n\r\n"),
    ("a NUL in a field", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    ("a carriage return in a field", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    ("two blanks in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no version", "GET /\r\nHost: a\r\n\r\n"),
    ("an unknown version", "GET / HTTP/3.7\r\nHost: a\r\n\r\n"),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// Requests that are HTTP, but none that is served.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    ("no host", "GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
    ("a host with user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad-request"),
    ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501, "method-not-implemented"),
    ("a trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method-not-implemented"),
    ("a target that is no path", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-path"),
    ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
];

#[tokio::test]
async fn malformed_requests_are_refused_and_the_connection_ends() {
    let gateway = Gateway::start().await;
    for (what, request) in MALFORMED {
        let responses = exchange(gateway.address, format!("{request}{SMUGGLED}").as_bytes()).await;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        assert_eq!(statuses, [400], "{what}");
        assert!(gateway.component.calls().is_empty(), "{what}: {:?}", gateway.component.calls());
    }
}

#[tokio::test]
async fn requests_for_what_is_not_served_are_refused_with_a_problem() {
    let gateway = Gateway::start().await;
    for (what, request, status, slug) in REFUSED {
        let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let response = gateway.raw(request).await;
        assert_eq!((response.status, response.problem().as_str()), (*status, *slug), "{what}");
    }
    assert!(gateway.component.calls().is_empty());
}

#[tokio::test]
async fn http_2_by_prior_knowledge_ends_the_connection() {
    let gateway = Gateway::start().await;
    let responses = exchange(gateway.address, format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}").as_bytes()).await;
    assert!(responses.is_empty() && gateway.component.calls().is_empty(), "{responses:?}");
}

/// RFC 9112, section 6.1: the coding counts, the length is dropped, and the connection ends.
#[tokio::test]
async fn a_length_beside_a_coding_never_makes_a_second_request() {
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: keep-alive",
    ] {
        let gateway = Gateway::start().await;
        let sent = format!("POST /count HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{SMUGGLED}");
        let responses = exchange(gateway.address, sent.as_bytes()).await;
        assert_eq!(responses.len(), 1, "{head}: {responses:?}");
        assert_eq!(responses[0].text(), "0", "{head}");
        let call = gateway.component.call();
        assert_eq!(call.uri.path(), "/count");
        assert!(!call.headers.contains_key("content-length") && !call.headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn malformed_chunks_end_the_request_and_the_connection() {
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 x\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ] {
        let gateway = Gateway::start().await;
        let sent = format!("POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}");
        let responses = exchange(gateway.address, sent.as_bytes()).await;
        assert_eq!(responses.len(), 1, "{body:?}");
        assert_eq!((responses[0].status, responses[0].problem().as_str()), (400, "bad-request"), "{body:?}");
        assert!(gateway.component.calls().iter().all(|call| call.uri.path() == "/count"));
    }
}

#[tokio::test]
async fn equal_lengths_are_one_length() {
    let gateway = Gateway::start().await;
    let sent =
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    assert_eq!(gateway.raw(sent).await.text(), "3");
}

#[tokio::test]
async fn trailers_do_not_reach_a_component() {
    let gateway = Gateway::start().await;
    let sent = "POST /count HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: spin-client-addr\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nspin-client-addr: 6.6.6.6:6\r\n\r\n";
    assert_eq!(gateway.raw(sent).await.text(), "3");
    assert!(!gateway.component.call().headers.contains_key("trailer"));
}
