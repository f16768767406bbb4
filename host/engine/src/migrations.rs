//! The migrations that a component carries: its custom section `chassis:migrations`.

use wasmparser::{Parser, Payload};

/// Name of the custom section: a JSON array of `{"name": "0001_what.sql", "sql": "..."}`.
pub const SECTION: &str = "chassis:migrations";

/// The content of the section; none where there is none. Sections of nested components and modules are not looked at.
pub(crate) fn section(component: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                return Ok(Some(section.data()));
            }
            _ => {}
        }
    }
    Ok(None)
}
