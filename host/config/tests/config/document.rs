//! `docs/configuration.md` says what the code does.

use chassis_config::settings;

const DOCUMENT: &str = include_str!("../../../../docs/configuration.md");

/// The part of the document below a heading, up to the next heading.
fn part(heading: &str) -> &'static str {
    let start = DOCUMENT.find(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no heading «{heading}»"));
    let text = &DOCUMENT[start + 4..];
    text.find("\n#").map_or(text, |end| &text[..end])
}

#[test]
fn every_setting_is_in_the_document_with_its_default_and_range() {
    let settings = settings();
    assert!(settings.len() > 70, "only {} settings were listed", settings.len());
    for setting in settings {
        let heading = match setting.section.as_str() {
            "" => "Above all tables".to_owned(),
            section => format!("`[{section}]`"),
        };
        let (key, default, range) = (setting.key.clone(), setting.default.clone(), setting.range.clone());
        let default = if default.is_empty() { String::new() } else { format!("{default} ") };
        let row = format!("| `{key}` | {default}| {range} |");
        assert!(part(&heading).contains(&row), "under {heading} this row is missing:\n{row}");
    }
}

#[test]
fn no_row_of_a_table_of_settings_is_without_its_setting() {
    let settings = settings();
    for section in settings.iter().map(|setting| setting.section.as_str()).filter(|section| !section.is_empty()) {
        let rows = part(&format!("`[{section}]`")).lines().filter_map(|line| line.strip_prefix("| `"));
        for row in rows {
            let key = row.split('`').next().unwrap();
            let known = settings.iter().any(|setting| setting.section == section && setting.key == key);
            assert!(known, "[{section}] has no `{key}`");
        }
    }
}

#[test]
fn the_rule_for_variables_holds() {
    let settings = settings();
    let variable = |section: &str, key: &str| {
        settings.iter().find(|setting| setting.section == section && setting.key == key).unwrap().variable()
    };
    assert_eq!(variable("gateway", "body_bytes"), "CHASSIS_GATEWAY_BODY_BYTES");
    assert_eq!(variable("mail.smtp", "password"), "CHASSIS_MAIL_SMTP_PASSWORD");
    assert_eq!(variable("", "state_dir"), "CHASSIS_STATE_DIR");
    let mut all: Vec<String> = settings.iter().map(chassis_config::Setting::variable).collect();
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "two settings share a variable");
    for example in ["CHASSIS_GATEWAY_BODY_BYTES", "CHASSIS_MAIL_SMTP_PASSWORD", "CHASSIS_STATE_DIR"] {
        assert!(DOCUMENT.contains(example), "{example}");
    }
}

/// Every key of Spin's manifest (version 2) and runtime configuration.
const KEYS_OF_SPIN: [&str; 56] = [
    "spin_manifest_version",
    "application.name",
    "version",
    "description",
    "application.authors",
    "targets",
    "application.trigger.http.base",
    "application.trigger.<other>",
    "application.tool.<other>",
    "variables.<name>.default",
    "required",
    "secret",
    "variables.<name>.description",
    "trigger.http.id",
    "trigger.http.route",
    "trigger.http.component",
    "trigger.http.executor",
    "trigger.http.static_response",
    "trigger.http.dependencies.middleware",
    "trigger.http.components",
    "trigger.<other>",
    "source",
    "environment",
    "variables",
    "files",
    "exclude_files",
    "allowed_outbound_hosts",
    "allowed_http_hosts",
    "key_value_stores",
    "sqlite_databases",
    "ai_models",
    "dependencies",
    "dependencies_inherit_configuration",
    "build",
    "profile",
    "tool.<other>",
    "key_value_store.<label>.type",
    "sqlite_database.<label>.type",
    "path",
    "sqlite_database.<label>.allow_attach_file",
    "variables_provider",
    "config_provider",
    "variables_provider.dotenv_path",
    "state_dir",
    "log_dir",
    "max_instance_memory",
    "llm_compute",
    "outbound_http",
    "outbound_pg",
    "outbound_mysql",
    "outbound_redis",
    "outbound_mqtt",
    "outbound_networking.block_networks",
    "outbound_networking.max_socket_connections",
    "max_total_connections",
    "client_tls",
];

#[test]
fn every_key_of_spin_is_in_a_table_with_what_becomes_of_it() {
    let tables = &DOCUMENT[DOCUMENT.find("\n## `spin.toml`").unwrap()..];
    for key in KEYS_OF_SPIN {
        let quoted = format!("`{key}`");
        let row = tables.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&quoted)));
        let fate = row.unwrap_or_else(|| panic!("{key} is in no table")).split('|').nth(2).unwrap().trim();
        assert!(["used", "for Spin", "ignored", "refused"].contains(&fate), "{key} is {fate}");
    }
}
