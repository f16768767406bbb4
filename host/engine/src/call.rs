//! Typed calls between components: the host answers an import with the export of whichever version is live.
//!
//! A call runs in an instance of the callee's own, on a task of its own. Plain data only, and every failure of the callee
//! is an answer: a trap in a host function would end the caller's store and every other request in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chassis_capabilities::lent::{Caller, Lending, LentView};
use chassis_config::name::ComponentName;
use chassis_config::plan::EngineLimits;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::types::{self, ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Accessor, Linker, Val};

use crate::component::Slot;
use crate::link::LinkError;
use crate::pool::{CallJob, Job, Work as Payload};
use crate::state::{Fate, StoreState};

/// Where the callee of a call is found: filled once all components are loaded, changed by a swap.
#[derive(Debug)]
pub(crate) struct Directory {
    slots: ArcSwap<BTreeMap<ComponentName, Arc<Slot>>>,
    bounds: CallBounds,
}

/// Bounds of every typed call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallBounds {
    /// How many calls may be nested.
    pub(crate) depth: u32,
    /// Bytes of the parameters, and of the answer, as the host holds them.
    pub(crate) bytes: usize,
}

impl From<&EngineLimits> for CallBounds {
    fn from(limits: &EngineLimits) -> Self {
        Self { depth: limits.call_depth, bytes: usize::try_from(limits.call_bytes).unwrap_or(usize::MAX) }
    }
}

impl Directory {
    pub(crate) fn new(bounds: CallBounds) -> Self {
        Self { slots: ArcSwap::default(), bounds }
    }

    pub(crate) fn fill(&self, slots: BTreeMap<ComponentName, Arc<Slot>>) {
        self.slots.store(Arc::new(slots));
    }

    pub(crate) fn find(&self, name: &ComponentName) -> Option<Arc<Slot>> {
        self.slots.load().get(name).cloned()
    }

    pub(crate) fn all(&self) -> Arc<BTreeMap<ComponentName, Arc<Slot>>> {
        self.slots.load_full()
    }
}

/// Why a call got no answer: the cases of `call-failure` in every interface that is offered to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallFailure {
    Missing,
    Trapped,
    Deadline,
    TooDeep,
    Overloaded,
    /// Told as `overloaded`: the provider takes no such large ones.
    ParametersTooLarge,
    /// Told as `trapped`: the provider failed in the middle of the call.
    AnswerTooLarge,
}

impl CallFailure {
    const ALL: [Self; 5] = [Self::Missing, Self::Trapped, Self::Deadline, Self::TooDeep, Self::Overloaded];

    const fn case(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Trapped | Self::AnswerTooLarge => "trapped",
            Self::Deadline => "deadline",
            Self::TooDeep => "too-deep",
            Self::Overloaded | Self::ParametersTooLarge => "overloaded",
        }
    }

    /// What the case does not tell, for the log.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::ParametersTooLarge => Some("the parameters are larger than engine.call_bytes"),
            Self::AnswerTooLarge => Some("the answer is larger than engine.call_bytes"),
            _ => None,
        }
    }

    /// `err(unavailable(<case>))`.
    fn answer(self, shape: Shape) -> Val {
        let case = match shape {
            Shape::Enum => Val::Enum(self.case().to_owned()),
            Shape::Variant => Val::Variant(self.case().to_owned(), None),
        };
        Val::Result(Err(Some(Box::new(Val::Variant(UNAVAILABLE.to_owned(), Some(Box::new(case)))))))
    }
}

const UNAVAILABLE: &str = "unavailable";

/// How an interface writes `call-failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Enum,
    /// Cases without a payload.
    Variant,
}

/// Answer an interface that a component imports with the export of its provider.
pub(crate) fn link(
    linker: &mut Linker<StoreState>,
    interface: &str,
    ty: &types::ComponentInstance,
    provider: &ComponentName,
    directory: &Arc<Directory>,
) -> Result<(), LinkError> {
    let refuse = |reason: String| LinkError::Interface { interface: interface.to_owned(), reason };
    let engine = linker.engine().clone();
    let mut instance = linker.instance(interface).map_err(|error| refuse(format!("{error:#}")))?;
    for (name, item) in ty.exports(&engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                let shape =
                    check_function(&function).map_err(|reason| refuse(format!("the function «{name}» {reason}")))?;
                let target = Target {
                    directory: Arc::clone(directory),
                    provider: provider.clone(),
                    interface: interface.into(),
                    function: name.into(),
                };
                instance
                    .func_new_concurrent(name, move |accessor, _, params, results| {
                        let target = target.clone();
                        Box::pin(async move {
                            let answer = target.call(accessor, params).await;
                            if let Some(result) = results.first_mut() {
                                *result = answer.unwrap_or_else(|failure| failure.answer(shape));
                            }
                            Ok(())
                        })
                    })
                    .map_err(|error| refuse(format!("{error:#}")))?;
            }
            ComponentItem::Type(_) => {}
            _ => return Err(refuse(format!("«{name}» is neither a function nor a type of plain data"))),
        }
    }
    Ok(())
}

/// What a function must look like so that the host can always answer it.
fn check_function(function: &ComponentFunc) -> Result<Shape, String> {
    if !function.async_() {
        return Err("is not an `async func`: it would stop every request in the calling instance".to_owned());
    }
    let plain = function.params().map(|(_, ty)| ty).chain(function.results()).all(|ty| is_plain(&ty));
    if !plain {
        return Err("carries resources, streams or futures: only plain data passes between components".to_owned());
    }
    failure_shape(function).ok_or_else(|| {
        "must return result<T, E> where E is a variant with the case unavailable(call-failure), and call-failure has the cases \
         missing, trapped, deadline, too-deep and overloaded: so that the host can answer for a provider that fails"
            .to_owned()
    })
}

fn failure_shape(function: &ComponentFunc) -> Option<Shape> {
    let mut results = function.results();
    let (Some(Type::Result(result)), None) = (results.next(), results.next()) else { return None };
    let Some(Type::Variant(error)) = result.err() else { return None };
    match error.cases().find(|case| case.name == UNAVAILABLE)?.ty? {
        Type::Enum(failure) => CallFailure::ALL
            .iter()
            .all(|wanted| failure.names().any(|name| name == wanted.case()))
            .then_some(Shape::Enum),
        Type::Variant(failure) => {
            let has =
                |wanted: &CallFailure| failure.cases().any(|case| case.name == wanted.case() && case.ty.is_none());
            CallFailure::ALL.iter().all(has).then_some(Shape::Variant)
        }
        _ => None,
    }
}

fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::List(list) => is_plain(&list.ty()),
        Type::Record(record) => record.fields().all(|field| is_plain(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| is_plain(&ty)),
        Type::Variant(variant) => variant.cases().all(|case| case.ty.is_none_or(|ty| is_plain(&ty))),
        Type::Option(option) => is_plain(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].into_iter().flatten().all(|ty| is_plain(&ty)),
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => false,
        _ => true,
    }
}

/// Whether an export can stand in for an import: the same functions with the same types.
///
/// # Errors
/// Says which function differs, and how.
pub(crate) fn check_fits(
    engine: &wasmtime::Engine,
    wanted: &types::ComponentInstance,
    offered: &types::ComponentInstance,
) -> Result<(), String> {
    for (name, item) in wanted.exports(engine) {
        let ComponentItem::ComponentFunc(wanted) = item.ty else { continue };
        let Some(ComponentItem::ComponentFunc(offered)) = offered.get_export(engine, name).map(|item| item.ty) else {
            return Err(format!("the function «{name}» is not offered"));
        };
        if !wanted.params().map(|(_, ty)| ty).eq(offered.params().map(|(_, ty)| ty)) {
            return Err(format!("the function «{name}» is offered with other parameters"));
        }
        if !wanted.results().eq(offered.results()) || wanted.async_() != offered.async_() {
            return Err(format!("the function «{name}» is offered with another result"));
        }
    }
    Ok(())
}

/// Bytes that the host holds for a value of plain data.
fn weight(value: &Val) -> usize {
    let held = match value {
        Val::String(text) => text.len(),
        Val::List(items) | Val::Tuple(items) => items.iter().map(weight).sum(),
        Val::Record(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        Val::Variant(case, value) => case.len() + value.as_deref().map_or(0, weight),
        Val::Option(value) | Val::Result(Ok(value) | Err(value)) => value.as_deref().map_or(0, weight),
        Val::Enum(case) => case.len(),
        Val::Flags(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
        _ => 0,
    };
    size_of::<Val>().saturating_add(held)
}

#[derive(Clone)]
struct Target {
    directory: Arc<Directory>,
    provider: ComponentName,
    interface: Arc<str>,
    function: Arc<str>,
}

/// What a call inherits from the request that makes it.
struct Origin {
    caller: Caller,
    deadline: Instant,
    depth: u32,
}

impl Target {
    async fn call(&self, accessor: &Accessor<StoreState>, params: &[Val]) -> Result<Val, CallFailure> {
        let (view, origin) = accessor.with(|mut access| {
            let state = access.get();
            let view = state.lent();
            let work = state.current_work();
            let origin = Origin {
                caller: view.caller.clone(),
                deadline: work.map_or(state.start_deadline, |work| work.deadline),
                depth: work.map_or(0, |work| work.depth) + 1,
            };
            (view, origin)
        });
        let answer = self.run(origin, params).await;
        if let Err(failure) = &answer {
            self.report(&view, *failure);
        }
        answer
    }

    fn report(&self, LentView { lent, caller }: &LentView, failure: CallFailure) {
        if lent.lines.admits() {
            let (request_id, trace_id) = (&*caller.request_id, caller.trace_id());
            tracing::warn!(component = %lent.component, request_id, trace_id, provider = %self.provider, interface = %self.interface, function = %self.function, failure = failure.case(), reason = failure.reason(), "a call to another component failed");
        }
    }

    /// Values that are too large are refused on this side: written into the memory of the other, they could take it down
    /// with every request in it.
    async fn run(&self, origin: Origin, params: &[Val]) -> Result<Val, CallFailure> {
        let CallBounds { depth, bytes } = self.directory.bounds;
        if origin.depth > depth {
            return Err(CallFailure::TooDeep);
        }
        if params.iter().map(weight).sum::<usize>() > bytes {
            return Err(CallFailure::ParametersTooLarge);
        }
        let answer = self.ask(origin, params).await?;
        if weight(&answer) > bytes { Err(CallFailure::AnswerTooLarge) } else { Ok(answer) }
    }

    async fn ask(&self, origin: Origin, params: &[Val]) -> Result<Val, CallFailure> {
        let slot = self.directory.find(&self.provider).ok_or(CallFailure::Missing)?;
        let deadline = origin.deadline.min(Instant::now() + slot.limits().deadline);
        let place = slot.calls().enter(deadline).await.map_err(|_full| CallFailure::Overloaded)?;
        let version = slot.version();
        let (reply, answer) = oneshot::channel();
        let (fate, lost) = oneshot::channel();
        let (_until_answered, ended) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        // Copied only now: those that wait for their place hold their parameters once.
        let call = CallJob {
            interface: Arc::clone(&self.interface),
            function: Arc::clone(&self.function),
            params: params.to_vec(),
            reply,
        };
        let job = Job {
            payload: Payload::Call(call),
            caller: origin.caller,
            deadline,
            depth: origin.depth,
            fate,
            place: Arc::new(place),
            begun: Arc::clone(&begun),
            ended: Some(ended),
        };
        version.submit_call(job).map_err(|_full| CallFailure::Overloaded)?;
        // The instance keeps the deadline itself; this only outlasts it, for a host that is too busy to say so.
        let patience = deadline + Duration::from_secs(1);
        match tokio::time::timeout_at(patience, answer).await {
            Ok(Ok(answer)) => answer.ok_or(CallFailure::Missing),
            Ok(Err(_dropped)) => Err(match lost.await {
                Ok(Fate::Deadline) => CallFailure::Deadline,
                Ok(Fate::Overloaded) => CallFailure::Overloaded,
                Ok(Fate::Trapped(_) | Fate::Lost | Fate::Crowded) | Err(_) => CallFailure::Trapped,
            }),
            Err(_elapsed) if begun.load(Ordering::Relaxed) => Err(CallFailure::Deadline),
            Err(_elapsed) => Err(CallFailure::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_provider_without_a_live_version_is_missing() {
        let target = Target {
            directory: Arc::new(Directory::new(CallBounds { depth: 1, bytes: 1_000 })),
            provider: ComponentName::parse("provider").unwrap(),
            interface: "test:calls/target@0.1.0".into(),
            function: "slow".into(),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let origin = |depth| Origin { caller: Caller::default(), deadline, depth };
        assert_eq!(target.run(origin(1), &[]).await, Err(CallFailure::Missing));
        assert_eq!(target.run(origin(2), &[]).await, Err(CallFailure::TooDeep));
        let text = |bytes| Val::String("a".repeat(bytes));
        assert_eq!(target.run(origin(1), &[text(900)]).await, Err(CallFailure::Missing));
        assert_eq!(target.run(origin(1), &[text(1_000)]).await, Err(CallFailure::ParametersTooLarge));
    }

    #[test]
    fn every_part_of_a_value_weighs() {
        let text = || Val::String("abc".to_owned());
        let one = size_of::<Val>() + 3;
        assert_eq!(weight(&text()), one);
        assert_eq!(weight(&Val::List(vec![text(), text()])), size_of::<Val>() + 2 * one);
        let record = Val::Record(vec![("name".to_owned(), Val::Option(Some(Box::new(text()))))]);
        assert_eq!(weight(&record), 2 * size_of::<Val>() + 4 + one);
        assert_eq!(weight(&Val::Result(Err(Some(Box::new(text()))))), size_of::<Val>() + one);
        assert!(weight(&Val::List(vec![Val::U8(0); 1_000])) >= 1_000 * size_of::<Val>());
    }

    #[test]
    fn a_failure_is_answered_in_the_shape_that_the_interface_has() {
        let answer =
            |case| Val::Result(Err(Some(Box::new(Val::Variant("unavailable".to_owned(), Some(Box::new(case)))))));
        let missing = || "missing".to_owned();
        assert_eq!(CallFailure::Missing.answer(Shape::Enum), answer(Val::Enum(missing())));
        assert_eq!(CallFailure::Missing.answer(Shape::Variant), answer(Val::Variant(missing(), None)));
    }
}
