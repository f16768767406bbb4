//! What a component may import and export, and the linker that holds exactly that.

use std::sync::Arc;

use chassis_config::plan::ComponentPlan;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use crate::call::{self, Directory};
use crate::state::StoreState;

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It imports what nothing offers to it.
    #[error(
        "it imports «{0}», which it was not granted: name the component that offers it in [component.<name>.dependencies], or build it without"
    )]
    UngrantedImport(String),
    /// It offers an interface that it was not granted to offer.
    #[error(
        "it exports «{0}», which it was not granted to offer: list it in `provides` under [component.<name>.tool.chassis]"
    )]
    UngrantedExport(String),
    /// It does not offer an interface that it is listed as the provider of.
    #[error("it does not export «{0}», which `provides` promises")]
    MissingExport(String),
    /// It has no HTTP handler.
    #[error("it exports no wasi:http/handler@0.3")]
    NoHandler,
    /// It has a handler of WASI 0.2.
    #[error("it exports wasi:http/incoming-handler of WASI 0.2; build it for WASI 0.3 (spin-sdk 7)")]
    OldHandler,
    /// An interface that is called across components cannot be.
    #[error("the interface «{interface}»: {reason}")]
    Interface {
        /// The interface.
        interface: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A type does not fit what the host offers.
    #[error("it does not fit this host: {0}")]
    Mismatch(String),
}

/// Packages of WASI that the host offers; what in them is denied is denied when it is called.
const WASI: [&str; 7] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:http/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
const PLATFORM: &str = "chassis:platform/";
const HANDLER: &str = "wasi:http/handler@0.3.";
const OLD_HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// A component that instances can be made of.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<StoreState>,
    /// Where in it the HTTP handler is.
    pub(crate) service: ServiceIndices,
}

/// Check a component against its plan, and link it.
pub(crate) fn link(
    engine: &Engine,
    component: &Component,
    plan: &ComponentPlan,
    directory: &Arc<Directory>,
) -> Result<Linked, LinkError> {
    let mismatch = |error: wasmtime::Error| LinkError::Mismatch(format!("{error:#}"));
    check_exports(engine, component, plan)?;
    let mut linker = Linker::new(engine);
    lend(&mut linker).map_err(mismatch)?;
    for (name, item) in component.component_type().imports(engine) {
        if WASI.iter().any(|package| name.starts_with(package)) || name.starts_with(PLATFORM) {
            continue;
        }
        match (plan.dependencies.get(name), item.ty) {
            (Some(provider), ComponentItem::ComponentInstance(interface)) => {
                call::link(&mut linker, name, &interface, provider, directory)?;
            }
            _ => return Err(LinkError::UngrantedImport(name.to_owned())),
        }
    }
    let pre = linker.instantiate_pre(component).map_err(mismatch)?;
    let service = ServiceIndices::new(&pre).map_err(mismatch)?;
    Ok(Linked { pre, service })
}

fn lend(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    // A guest built with Rust's standard library imports WASI 0.2 beside 0.3.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    chassis_capabilities::lent::add_to_linker(linker)
}

fn check_exports(engine: &Engine, component: &Component, plan: &ComponentPlan) -> Result<(), LinkError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty
        .exports(engine)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name)
        .collect();
    if !exports.iter().any(|name| name.starts_with(HANDLER)) {
        let old = exports.iter().any(|name| name.starts_with(OLD_HANDLER));
        return Err(if old { LinkError::OldHandler } else { LinkError::NoHandler });
    }
    if let Some(name) =
        exports.iter().find(|name| !name.starts_with("wasi:") && !plan.provides.iter().any(|granted| granted == *name))
    {
        return Err(LinkError::UngrantedExport((*name).to_owned()));
    }
    match plan.provides.iter().find(|promised| !exports.contains(&promised.as_str())) {
        Some(missing) => Err(LinkError::MissingExport(missing.clone())),
        None => Ok(()),
    }
}
