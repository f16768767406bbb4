//! Which paths lead where, in every spelling.

use chassis_tests::{App, Host, raw};

#[tokio::test]
async fn private_paths_do_not_exist_from_outside_in_any_spelling() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    for path in [
        "/.chassis/health",
        "/.chassis/events",
        "/.chassis",
        "/.chassis/",
        "/.CHASSIS/health",
        "/%2echassis/health",
        "/%2Echassis/health",
        "/.chassis%2fhealth",
        "/%252echassis/health",
        "//.chassis/health",
        "/./.chassis/health",
        "/hello/../.chassis/health",
        "/hello/%2e%2e/.chassis/health",
        "/hello/..%2f.chassis/health",
        "/.chassi%73/health",
        "/.chassis;x=1/health",
        "/\\.chassis\\health",
        "/.chassis/health?x=1",
        "http://example.org/.chassis/health",
    ] {
        let response = raw::get(host.address(), path).await?;
        assert_eq!(raw::status(&response)?, 404, "{path}: {response}");
        assert!(!response.contains("healthy"), "{path}: {response}");
    }
    Ok(())
}

#[tokio::test]
async fn a_path_is_served_in_one_spelling_only() -> anyhow::Result<()> {
    let app = App::hello()?;
    let host = Host::start(&app).await?;
    assert_eq!(raw::status(&raw::get(host.address(), "/hello/a%20b").await?)?, 200);
    for path in ["//hello", "/./hello", "/x/../hello", "/%68ello", "/hello/a%2fb", "/hello/%zz", "/hello/%ff"] {
        let response = raw::get(host.address(), path).await?;
        assert_eq!(raw::status(&response)?, 400, "{path}: {response}");
        assert!(response.contains("application/problem+json"), "{path}: {response}");
    }
    Ok(())
}
