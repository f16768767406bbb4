//! Opens what stands behind the labels of a plan, and hands each component what it was granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chassis_config::name::Label;
use chassis_config::plan::{ComponentPlan, Durability, KeyValuePlan, MailPlan, MessagingPolicy, Plan, SqlPolicy};
use uuid::Uuid;

use crate::backlog::Backlog;
use crate::clock::Clock;
use crate::key_value::{CacheStore, DurableStore, KeyValueBackend, KeyValueError};
use crate::lent::Lent;
use crate::log::LineBudget;
use crate::mail::{self, MailGrant, MailTransports, Mailbox, TransportError};
use crate::messaging::{MessagingBackend, MessagingError, SqliteMessaging, Subscription};
use crate::sql::{Migration, OpenError, Outbox, SqlBackend, SqliteDatabase};

/// Why something cannot be lent.
#[derive(Debug, thiserror::Error)]
pub enum LendError {
    /// A folder of the state cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A database cannot be opened, or its migrations fail.
    #[error("the database «{label}»")]
    Database {
        /// Its label.
        label: Label,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A key-value store cannot be opened.
    #[error("the key-value store «{label}»")]
    Store {
        /// Its label.
        label: Label,
        /// Why.
        #[source]
        source: KeyValueError,
    },
    /// The store of events cannot be opened.
    #[error("the store of events")]
    Messaging(#[from] MessagingError),
    /// Mail has no way out.
    #[error("mail has no way out")]
    Mail(#[from] TransportError),
    /// The migrations that a component carries are not well-formed.
    #[error("its migrations: {0}")]
    Migrations(String),
    /// A component carries migrations, and does not own the one database that they are for.
    #[error("it carries migrations and owns {0} databases: migrations go with exactly one")]
    MigrationsWithoutDatabase(usize),
}

/// Everything that stands behind the labels of one host.
pub struct Lender {
    state_dir: PathBuf,
    sql: SqlPolicy,
    messaging_policy: MessagingPolicy,
    stores: BTreeMap<Label, Arc<dyn KeyValueBackend>>,
    messaging: Arc<SqliteMessaging>,
    mail_plan: MailPlan,
    mail: MailTransports,
    mail_backlog: Backlog,
    databases: Mutex<BTreeMap<Label, SqliteDatabase>>,
    variable_names: Arc<BTreeSet<String>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

impl Lender {
    /// Open what belongs to the host as a whole; databases are opened with the component that owns them.
    ///
    /// # Errors
    /// Where a file cannot be opened.
    pub async fn open(plan: &Plan, clock: Arc<dyn Clock>) -> Result<Self, LendError> {
        let state_dir = plan.state_dir.clone();
        for folder in ["sql", "key-value"] {
            let path = state_dir.join(folder);
            let made = tokio::fs::create_dir_all(&path).await;
            made.map_err(|source| LendError::Folder { path, source })?;
        }
        let mut stores = BTreeMap::new();
        for (label, store) in &plan.key_value {
            let opened = open_store(&state_dir, label, store, Arc::clone(&clock)).await;
            stores.insert(label.clone(), opened.map_err(|source| LendError::Store { label: label.clone(), source })?);
        }
        let path = state_dir.join("messaging.db");
        let seed = rand::random();
        let messaging =
            SqliteMessaging::open(&path, plan.messaging.clone(), subscriptions(plan), Arc::clone(&clock), seed).await?;
        Ok(Self {
            sql: plan.sql.clone(),
            messaging_policy: plan.messaging.clone(),
            state_dir,
            stores,
            messaging: Arc::new(messaging),
            mail: mail::from_plan(&plan.mail, &plan.state_dir, Arc::clone(&clock)).await?,
            mail_backlog: Backlog::new(plan.mail.queue_bytes),
            mail_plan: plan.mail.clone(),
            databases: Mutex::default(),
            variable_names: Arc::new(plan.variable_names.clone()),
            clock,
        })
    }

    /// What one component is lent. Its databases are opened and brought up to the migrations that it carries:
    /// `section` is the content of its custom section `chassis:migrations`, if it has one.
    ///
    /// # Errors
    /// Where a database cannot be opened or migrated; then its data is as it was.
    pub async fn lend(&self, component: &ComponentPlan, section: Option<&[u8]>) -> Result<Arc<Lent>, LendError> {
        let migrations = section.map_or(Ok(Vec::new()), Migration::from_section).map_err(|errors| {
            LendError::Migrations(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let owned = &component.grants.databases;
        if !migrations.is_empty() && owned.len() != 1 {
            return Err(LendError::MigrationsWithoutDatabase(owned.len()));
        }
        let mut databases = BTreeMap::new();
        for label in owned {
            let database = self.database(label, &migrations).await?;
            databases.insert(label.to_string(), Arc::new(database) as Arc<dyn SqlBackend>);
        }
        let granted = &component.grants.key_value_stores;
        let stores = granted.iter().filter_map(|label| Some((label.to_string(), Arc::clone(self.stores.get(label)?))));
        Ok(Arc::new(Lent {
            component: component.name.clone(),
            databases,
            stores: stores.collect(),
            publish: component.grants.publish.clone(),
            messaging_policy: self.messaging_policy.clone(),
            messaging: Arc::clone(&self.messaging) as Arc<dyn MessagingBackend>,
            mail: self.mail_grant(&component.grants.mail_from),
            variables: component.variables.clone(),
            variable_names: Arc::clone(&self.variable_names),
            delivery_token: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
            clock: Arc::clone(&self.clock),
            pending: Backlog::new(component.limits.pending_bytes),
            lines: LineBudget::new(component.name.clone(), component.limits.log_lines),
        }))
    }

    fn mail_grant(&self, from: &[String]) -> Option<MailGrant> {
        let plan = &self.mail_plan;
        (!from.is_empty()).then(|| MailGrant {
            backend: Arc::clone(&self.mail.backend),
            from: from.to_vec(),
            default_from: plan.default_from.clone(),
            message_id_domain: plan.message_id_domain.clone(),
            recipients: plan.recipients,
            message_bytes: plan.message_bytes,
            backlog: self.mail_backlog.clone(),
        })
    }

    async fn database(&self, label: &Label, migrations: &[Migration]) -> Result<SqliteDatabase, LendError> {
        let failed = |source| LendError::Database { label: label.clone(), source };
        let open = self.databases.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned();
        if let Some(database) = open {
            database.migrate(migrations).await.map_err(failed)?;
            return Ok(database);
        }
        let path = self.state_dir.join("sql").join(format!("{label}.db"));
        let opened = SqliteDatabase::open(&path, &self.sql, migrations, Arc::clone(&self.clock)).await;
        let database = opened.map_err(failed)?;
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).insert(label.clone(), database.clone());
        Ok(database)
    }

    /// The outboxes of all databases that are open, by label.
    #[must_use]
    pub fn outboxes(&self) -> Vec<(Label, Arc<dyn Outbox>)> {
        let databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let outbox = |database: &SqliteDatabase| Arc::new(database.clone()) as Arc<dyn Outbox>;
        databases.iter().map(|(label, database)| (label.clone(), outbox(database))).collect()
    }

    /// Where mail can be looked into, if the host keeps it.
    #[must_use]
    pub fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.mail.mailbox.clone()
    }

    /// Where events wait for their handlers.
    #[must_use]
    pub fn messaging(&self) -> Arc<dyn MessagingBackend> {
        Arc::clone(&self.messaging) as Arc<dyn MessagingBackend>
    }

    /// End: what was accepted is finished.
    pub async fn close(&self) {
        let databases = std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
        for database in databases.values() {
            database.close().await;
        }
        for store in self.stores.values() {
            store.close().await;
        }
        self.messaging.close().await;
        if let Some(mailbox) = &self.mail.mailbox {
            mailbox.close().await;
        }
    }
}

async fn open_store(
    state_dir: &Path,
    label: &Label,
    plan: &KeyValuePlan,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn KeyValueBackend>, KeyValueError> {
    Ok(match plan.durability {
        Durability::Cache => Arc::new(CacheStore::open(plan, clock).await),
        Durability::Durable => {
            let path = state_dir.join("key-value").join(format!("{label}.db"));
            Arc::new(DurableStore::open(&path, plan, clock).await?)
        }
    })
}

fn subscriptions(plan: &Plan) -> Vec<Subscription> {
    let subscribers = plan.components.values().filter(|component| !component.grants.subscribe.is_empty());
    subscribers
        .map(|component| Subscription {
            queue: component.name.to_string(),
            patterns: component.grants.subscribe.iter().map(|pattern| pattern.0.clone()).collect(),
        })
        .collect()
}
