//! What one component is lent, fixed per version: the store of each of its instances points to one of these.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chassis_config::name::ComponentName;
use chassis_config::plan::{EventPattern, MessagingPolicy, Variable};
use wasmtime::component::{HasData, Linker};

use crate::clock::Clock;
use crate::key_value::KeyValueBackend;
use crate::mail::MailGrant;
use crate::messaging::MessagingBackend;
use crate::sql::SqlBackend;

/// The name under which a component reads its own delivery token by `config.secret`.
pub const DELIVERY_TOKEN: &str = "chassis-delivery-token";

/// What one component is lent.
pub struct Lent {
    /// Who it is lent to.
    pub component: ComponentName,
    /// Databases by label.
    pub databases: BTreeMap<String, Arc<dyn SqlBackend>>,
    /// Key-value stores by label.
    pub stores: BTreeMap<String, Arc<dyn KeyValueBackend>>,
    /// Event types that it may publish.
    pub publish: Vec<EventPattern>,
    /// Bounds of what it publishes.
    pub messaging_policy: MessagingPolicy,
    /// Where its events go that are no step of a batch.
    pub messaging: Arc<dyn MessagingBackend>,
    /// Mail, where it may send any.
    pub mail: Option<MailGrant>,
    /// Its variables.
    pub variables: BTreeMap<String, Variable>,
    /// Proves a request of the host to the component, and to it alone; new with each process.
    pub delivery_token: String,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("component", &self.component)
            .field("databases", &self.databases.keys())
            .field("stores", &self.stores.keys())
            .finish_non_exhaustive()
    }
}

/// Which request of an instance a call belongs to.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Its request id.
    pub request_id: Arc<str>,
    /// Its W3C `traceparent`.
    pub traceparent: Arc<str>,
}

/// What the implementations of this crate need of a store.
#[derive(Debug)]
pub struct LentView<'a> {
    /// What is lent.
    pub lent: &'a Arc<Lent>,
    /// Whose call it is.
    pub caller: Caller,
}

/// Implemented by the data of the engine's stores.
pub trait Lending: Send + 'static {
    /// What the store's component is lent, and whose call it is now.
    fn lent(&mut self) -> LentView<'_>;
}

/// Names [`LentView`] to the generated code.
#[derive(Debug)]
pub struct HasLent;

impl HasData for HasLent {
    type Data<'a> = LentView<'a>;
}

/// Add all of `chassis:platform` to a linker.
///
/// # Errors
/// Where the linker defines one of its interfaces already.
pub fn add_to_linker<T: Lending>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use crate::bindings::chassis::platform::{config, key_value, mail, messaging, sql};
    sql::add_to_linker::<T, HasLent>(linker, T::lent)?;
    messaging::add_to_linker::<T, HasLent>(linker, T::lent)?;
    key_value::add_to_linker::<T, HasLent>(linker, T::lent)?;
    mail::add_to_linker::<T, HasLent>(linker, T::lent)?;
    config::add_to_linker::<T, HasLent>(linker, T::lent)
}
