//! The generated side of `chassis:platform`; nothing else.

wasmtime::component::bindgen!({
    path: "../../wit/platform",
    world: "platform",
});
