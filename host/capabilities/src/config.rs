//! Configuration of a component: its variables.

mod host;
