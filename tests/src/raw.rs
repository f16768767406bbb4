//! HTTP as bytes, for what a proper client would not send.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends these bytes and reads until the other side closes.
///
/// # Errors
///
/// If the connection fails, or is not closed within thirty seconds.
pub async fn exchange(address: &str, request: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.write_all(request).await?;
    let mut response = Vec::new();
    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut response)).await.context("the connection stays open")??;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Asks for a path in exactly this spelling; answers with the whole response.
///
/// # Errors
///
/// If the connection fails, or is not closed within thirty seconds.
pub async fn get(address: &str, target: &str) -> anyhow::Result<String> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

/// The status code of a response.
///
/// # Errors
///
/// If it does not begin with a status line.
pub fn status(response: &str) -> anyhow::Result<u16> {
    let code = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).with_context(|| format!("not a response: «{response}»"))
}
