//! Finds out how a call that failed has ended, and says it in words.

use wasmtime::Trap;

use crate::clean;
use crate::error::{RuntimeError, RuntimeErrorKind as Kind};
use crate::sandbox::{Call, Refused, Sandbox, size};

/// Where the engine stopped: how it is called in messages, and whether a function had begun.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// While the instance was made.
    Start,
    /// In an exported function, or while its parameters or its result were copied.
    Function(&'static str),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("its start"),
            Self::Function(name) => write!(f, "`{name}`"),
        }
    }
}

/// The error that an engine's error stands for.
pub(crate) fn error(
    sandbox: &Sandbox,
    call: &Call,
    place: Place,
    error: &wasmtime::Error,
) -> RuntimeError {
    tracing::debug!(target: "casbah::plugin", plugin = sandbox.label(), "{error:?}");
    match error.downcast_ref::<Trap>() {
        Some(trap) => trapped(sandbox, call, place, *trap),
        None => failed(sandbox, call, place, error),
    }
}

fn trapped(sandbox: &Sandbox, call: &Call, place: Place, trap: Trap) -> RuntimeError {
    let new = |kind, message| RuntimeError::new(sandbox.label(), kind, message);
    match (trap, call.refused(), call.panic()) {
        (Trap::Interrupt, _, _) => {
            let deadline = sandbox.limits().deadline;
            new(Kind::Deadline, format!("ran longer than {deadline:?} in {place} and was stopped"))
                .hint("smaller batches take less time; if it goes on, it runs in circles")
        }
        (Trap::StackOverflow, _, _) => {
            new(Kind::Stack, format!("ran out of stack in {place}: it calls itself too deeply"))
        }
        // A guest that gets no memory gives up, with a message of its own or without.
        (_, Some(refused), _) => out_of(sandbox, place, refused),
        (_, None, Some(panic)) => {
            let panic = panic.strip_prefix("panicked ").unwrap_or(panic);
            new(Kind::Trap, format!("panicked in {place} {panic}"))
        }
        (Trap::MemoryOutOfBounds, None, None) => {
            new(Kind::Trap, format!("reached outside its memory in {place}")).hint(
                "an endless recursion ends like this, too: the stack in a plugin's memory is small",
            )
        }
        (trap, None, None) => {
            let trap = trap.to_string();
            let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
            new(Kind::Trap, format!("trapped in {place}: {trap}"))
        }
    }
}

fn out_of(sandbox: &Sandbox, place: Place, refused: Refused) -> RuntimeError {
    let limits = sandbox.limits();
    let what = match refused {
        Refused::Memory => format!("{} of memory", size(limits.memory)),
        Refused::Table => format!("{} elements of tables", limits.table_elements),
    };
    RuntimeError::new(sandbox.label(), Kind::Memory, format!("needed more than {what} in {place}"))
        .hint("smaller batches need less; if it goes on, the plugin leaks or its limit is too low")
}

/// No trap: the engine could not make the instance, or could not copy what it returned.
fn failed(sandbox: &Sandbox, call: &Call, place: Place, error: &wasmtime::Error) -> RuntimeError {
    let new = |kind, message| RuntimeError::new(sandbox.label(), kind, message);
    let cause = clean::sentence(&error.root_cause().to_string());
    match (place, call.refused()) {
        (Place::Start, Some(refused)) => out_of(sandbox, place, refused),
        (Place::Start, None) => new(Kind::Compile, format!("can't be started: {cause}")),
        // The engine has no type for this error. If its words change, only the message gets worse.
        (Place::Function(_), _) if cause.contains("fuel allocated for hostcalls") => {
            let most = size(sandbox.limits().returned_bytes);
            new(Kind::TooMuch, format!("{place} returned or logged more than {most}"))
        }
        (Place::Function(_), _) => {
            new(Kind::Returned, format!("what {place} returned or logged can't be read: {cause}"))
                .hint("rebuild it with the SDK of this casbah")
        }
    }
}
