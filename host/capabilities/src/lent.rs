//! What one component is lent, fixed per version: the store of each of its instances points to one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chassis_config::name::ComponentName;
use chassis_config::plan::{EventPattern, MessagingPolicy, Variable};
use wasmtime::component::{HasData, Linker};

use crate::backlog::{Backlog, Weighed};
use crate::clock::Clock;
use crate::conduct::Conduct;
use crate::key_value::KeyValueBackend;
use crate::log::LineBudget;
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
    /// Names of the variables of the whole application, to tell what is another's from what does not exist.
    pub variable_names: Arc<BTreeSet<String>>,
    /// Proves a request of the host to the component, and to it alone; new with each process.
    pub delivery_token: String,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
    /// Room for events and values that are on their way into a store.
    pub(crate) pending: Backlog,
    /// What it may bring into the log by being refused something, and by losing instances.
    pub lines: LineBudget,
}

impl Lent {
    /// Let CPU time that the component's SQL burns count for its conduct. To be called once, before it is served.
    pub fn watch(&self, conduct: &Arc<dyn Conduct>) {
        for database in self.databases.values() {
            database.watch(Arc::clone(conduct));
        }
    }
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

impl Caller {
    /// The trace id within `traceparent`, empty where there is none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

/// What the implementations of this crate need of a store. It is taken when a call begins and kept to its end: whose code
/// runs in the store later on, when a backend has answered, may be another request's.
#[derive(Debug, Clone)]
pub struct LentView {
    /// What is lent.
    pub lent: Arc<Lent>,
    /// Whose call it is.
    pub caller: Caller,
}

/// Bytes that are kept of a name or a reason: guests choose them.
const WORDS_BYTES_MAX: usize = 256;

impl LentView {
    /// Log that the component was refused something: what, by which name it asked, and why. Lines beyond the component's
    /// budget are dropped and counted.
    pub fn refuse(&self, message: &'static str, name: &str, reason: &str) {
        if self.lent.lines.admits() {
            let (component, request_id, trace_id) = self.names();
            let (name, reason) = (short(name), short(reason));
            tracing::warn!(component, request_id, trace_id, name, reason, "{message}");
        }
    }

    /// Log that the host could not do what the component asked for, with the same bounds.
    pub(crate) fn fail(&self, message: &'static str, name: &str, reason: &str) {
        if self.lent.lines.admits() {
            let (component, request_id, trace_id) = self.names();
            tracing::error!(component, request_id, trace_id, name, reason, "{message}");
        }
    }

    /// Take room for a value of so many bytes, that the host holds until it is written; none where too much is under way.
    pub(crate) fn weigh<T>(&self, value: T, bytes: usize) -> Option<Weighed<T>> {
        self.lent.pending.weigh(value, u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    fn names(&self) -> (&str, &str, &str) {
        (self.lent.component.as_str(), &self.caller.request_id, self.caller.trace_id())
    }
}

fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORDS_BYTES_MAX)).unwrap_or_default()
}

/// Implemented by the data of the engine's stores.
pub trait Lending: Send + 'static {
    /// What the store's component is lent, and whose call it is now.
    fn lent(&mut self) -> LentView;
}

/// Names [`LentView`] to the generated code.
#[derive(Debug)]
pub struct HasLent;

impl HasData for HasLent {
    type Data<'a> = LentView;
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
