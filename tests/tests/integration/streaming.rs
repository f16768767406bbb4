//! Bodies flow both ways as they come, and nobody holds them whole.

use anyhow::Context;
use bytes::Bytes;
use chassis_tests::{App, Host};
use futures::{SinkExt, StreamExt};
use reqwest::{Body, Method};
use serde_json::Value;

#[tokio::test]
async fn a_response_arrives_piece_by_piece() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    // The guest pauses for an hour before the second piece: the first did not wait for it.
    let mut pieces = host.get("/stream?chunks=2&ms=3600000").await?.bytes_stream();
    assert_eq!(pieces.next().await.context("no piece")??, "chunk 0\n");
    drop(pieces);
    let whole = host.get("/stream?chunks=5&ms=20").await?.text().await?;
    assert_eq!(whole, "chunk 0\nchunk 1\nchunk 2\nchunk 3\nchunk 4\n");
    Ok(())
}

#[tokio::test]
async fn a_request_and_its_response_stream_at_the_same_time() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let (mut sender, receiver) = futures::channel::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    sender.send(Ok(Bytes::from_static(b"one"))).await?;
    let response = host.request(Method::POST, "/echo").body(Body::wrap_stream(receiver)).send().await?;
    let mut pieces = response.bytes_stream();
    assert_eq!(pieces.next().await.context("no echo")??, "one");
    // Sent only now, when the echo of the first is here.
    for word in ["two", "three"] {
        sender.send(Ok(Bytes::from(word))).await?;
        assert_eq!(pieces.next().await.context("no echo")??, word);
    }
    drop(sender);
    assert!(pieces.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn a_large_upload_streams_into_a_guest_with_less_memory() -> anyhow::Result<()> {
    let app = App::new(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello.wasm\"\n\
         [component.hello.tool.chassis.limits]\nmemory = \"8MiB\"\n",
    )?
    .settings("[gateway]\nbody_bytes = \"64MiB\"\n")?;
    let host = Host::start(&app).await?;
    let piece = Bytes::from(vec![7_u8; 64 << 10]);
    let pieces = futures::stream::iter((0..640).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let response = host.request(Method::POST, "/count").body(Body::wrap_stream(pieces)).send().await?;
    let counted: Value = response.json().await?;
    assert_eq!(counted["bytes"], 40 << 20, "{counted}");
    assert!(counted["pieces"].as_u64() > Some(1), "{counted}");
    Ok(())
}

#[tokio::test]
async fn an_echo_of_every_byte_value_is_unchanged() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    let sent: Vec<u8> = (0..1_000_003_u32).map(|number| number.to_le_bytes()[(number % 3) as usize]).collect();
    let request = host.request(Method::POST, "/echo").header("content-type", "application/x-test").body(sent.clone());
    let response = request.send().await?;
    assert_eq!(response.headers()["content-type"], "application/x-test");
    assert!(response.bytes().await? == sent, "the echo differs");
    Ok(())
}
