//! Every setting of the extension, in alphabetical order; what entering a tenant sets. guc/locks.rs locks PostgreSQL's own
//! `role`, `search_path` and `session_authorization`.

pub mod locks;
pub mod monitoring;
mod seed;
mod tenant;
mod visit;

pub use self::tenant::{show_org, shown as shown_tenant};
pub use self::visit::timeout as report_visit_timeout;
use crate::context::{self, State};
use crate::hooks::folded;
use crate::pg::guc::{KnownRecord, Lifetime};
use crate::pg::{catalog, guc, session};
use pgrx::guc::{GucContext, GucEnum, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread::LocalKey;

/// Whether the boundary holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum Enforcement {
    /// Nothing is judged.
    #[name = c"off"]
    Off,
    /// Every access is judged.
    #[name = c"on"]
    On,
    /// Every access is judged; what would be refused is only logged.
    #[name = c"report"]
    Report,
}

static ALLOWED_CONNECTIONS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ALLOW_PARTIAL_REPORTS: GucSetting<bool> = GucSetting::<bool>::new(false);
static ENFORCEMENT: GucSetting<Enforcement> = GucSetting::<Enforcement>::new(Enforcement::On);
static TENANT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// What entering a tenant sets, and what a function's SET clause would therefore take back.
struct Entered {
    role: KnownRecord,
    search_path: KnownRecord,
    tenant: KnownRecord,
}

thread_local! {
    static ENTERED: Entered = const {
        Entered {
            role: KnownRecord::new("role", c"role"),
            search_path: KnownRecord::new("search_path", c"search_path"),
            tenant: KnownRecord::new("plio.tenant", c"plio.tenant"),
        }
    };
}

/// The setting that the exit of a running function would put back, if one would.
pub fn reverting_at_function_exit() -> Option<&'static str> {
    ENTERED.with(|entered| {
        [&entered.search_path, &entered.role, &entered.tenant]
            .into_iter()
            .find(|setting| setting.get().is_some_and(guc::Record::will_revert_at_function_exit))
            .map(|setting| setting.name)
    })
}

/// What entering a tenant sets.
pub struct Entering<'a> {
    /// The tenant's search_path.
    pub path: &'a CStr,
    /// The tenant's role, to be switched to without a membership; `None` puts the role back that entered.
    pub role: Option<(pg_sys::Oid, &'a CStr)>,
    /// The state,
    pub state: State,
    /// and the value of `plio.tenant` that stands for it.
    pub value: &'a CStr,
}

/// Sets the role, the path and the state: the state last, because from then on the other two are locked; the role
/// before the path, because PostgreSQL keeps what it made of a path by role (17 and later).
pub fn enter(entering: &Entering<'_>, lifetime: Lifetime) {
    let _state = Handing::over(&tenant::STATE_TO_SET, entering.state);
    let _role = entering.role.map(|(role, _)| Handing::over(&ROLE_TO_SWITCH_TO, role));
    let before = (entering.role.is_none() && context::holds_role()).then(context::role_to_return_to);
    let role = entering.role.map(|(_, name)| name).or(before.as_deref());
    ENTERED.with(|entered| {
        let path = (&entered.search_path, Some(entering.path));
        let tenant = (&entered.tenant, Some(entering.value));
        match role {
            Some(role) => guc::set([(&entered.role, Some(role)), path, tenant], lifetime),
            None => guc::set([path, tenant], lifetime),
        }
    });
}

/// Takes back what entering a session's tenant set.
pub fn leave_session(has_role: bool) {
    ENTERED.with(|entered| {
        if has_role {
            guc::set([(&entered.role, Some(&context::role_to_return_to()))], Lifetime::Session);
        }
        guc::set([(&entered.tenant, Some(c"")), (&entered.search_path, None)], Lifetime::Session);
    });
}

/// Sets the search_path alone, inside a tenant.
pub fn put_path(path: &CStr, lifetime: Lifetime) {
    ENTERED.with(|entered| guc::set([(&entered.search_path, Some(path))], lifetime));
}

/// The enforcement in force: a change takes effect when no tenant is active, or another one is.
static IN_FORCE: AtomicU8 = AtomicU8::new(Enforcement::On as u8);

fn put_in_force(enforcement: Enforcement) {
    IN_FORCE.store(enforcement as u8, Relaxed);
}

/// Whether anything is judged at all: `plio.enforcement` is not `off`.
pub fn is_judging() -> bool {
    IN_FORCE.load(Relaxed) != Enforcement::Off as u8
}

/// Whether what would be refused is only logged.
pub fn is_only_reporting() -> bool {
    IN_FORCE.load(Relaxed) == Enforcement::Report as u8
}

/// The settings that the active tenant locks whatever the value is, by the names that messages give them.
const LOCKED: [&str; 8] = [
    "plio.allow_partial_reports",
    "plio.allowed_connections",
    "plio.denials_log_rate",
    "plio.enforcement",
    "plio.report_visit_timeout",
    "plio.tenant",
    "role",
    "session_authorization",
];

/// The setting of that name, if the active tenant locks it whatever the value is.
pub fn locked_setting(name: &str) -> Option<&'static str> {
    LOCKED.into_iter().find(|locked| locked.eq_ignore_ascii_case(name))
}

/// Whether an administrator listed a foreign server, or an extension that opens connections, for use inside tenants.
pub fn is_connection_allowed(name: &str) -> bool {
    let allowed = ALLOWED_CONNECTIONS.get().unwrap_or_default();
    catalog::split_identifiers(&allowed.to_string_lossy()).iter().any(|one| one == name)
}

/// Whether a report view may be read while tenants are missing from it.
pub fn are_partial_reports_allowed() -> bool {
    ALLOW_PARTIAL_REPORTS.get()
}

/// What the connection string (`options=-c plio.tenant=..`) or ALTER ROLE SET asked for before the library was there. It was
/// neither checked nor in force: [`install`] takes it over as empty.
pub fn wanted_tenant() -> Option<String> {
    guc::placeholder(c"plio.tenant").filter(|wanted| !wanted.is_empty())
}

/// Defines the settings and puts the locks in front of PostgreSQL's own.
pub fn install() {
    let _blank = tenant::Blanking::begin();
    // SAFETY: the hook is guarded.
    unsafe { define() };
    visit::define();
    monitoring::install(session::is_postmaster_loading());
    guc::reserve_prefix(c"plio");
    locks::install();
    seed::install();
    visit::install_locks();
}

unsafe fn define() {
    // SAFETY: the hooks are guarded, or call nothing that can fail.
    unsafe {
        GucRegistry::define_bool_guc_with_hooks(
            c"plio.allow_partial_reports",
            c"Whether report views may be read while tenants are missing from them.",
            c"Off: suspended, drifted and failing tenants are an error. On: a warning.",
            &ALLOW_PARTIAL_REPORTS,
            GucContext::Userset,
            GucFlags::empty(),
            Some(check_allow_partial_reports),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"plio.allowed_connections",
            c"Foreign servers, and extensions such as dblink, that may be used inside tenants.",
            c"They connect elsewhere: what they reach there is judged by nobody here.",
            &ALLOWED_CONNECTIONS,
            GucContext::Suset,
            GucFlags::empty(),
            Some(check_allowed_connections),
            None,
            None,
        );
        GucRegistry::define_enum_guc_with_hooks(
            c"plio.enforcement",
            c"Whether access outside the active tenant is refused.",
            c"Superusers only, and not while a tenant is active.",
            &ENFORCEMENT,
            GucContext::Suset,
            GucFlags::empty(),
            Some(check_enforcement),
            Some(assign_enforcement),
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"plio.tenant",
            c"The organization whose tenant is active; empty when none is.",
            c"Set by plio.set_tenant() for a transaction, or by SET plio.tenant for a session.",
            &TENANT,
            GucContext::Suset,
            GucFlags::REPORT | GucFlags::NO_RESET_ALL | GucFlags::DISALLOW_IN_FILE,
            Some(tenant::check),
            Some(tenant::assign),
            Some(tenant::show),
        );
    }
}

/// A check hook that admits any value, but none while a tenant is active.
macro_rules! locked_by_tenant {
    ($(#[$doc:meta])* $hook:ident, $setting:literal, $value:ty) => {
        $(#[$doc])*
        #[pg_guard]
        unsafe extern "C-unwind" fn $hook(
            _value: *mut $value,
            _extra: *mut *mut std::ffi::c_void,
            source: pg_sys::GucSource::Type,
        ) -> bool {
            if $crate::guc::is_foreign_change(source) {
                $crate::error::Error::LockedSetting { setting: $setting }.raise();
            }
            true
        }
    };
}
use locked_by_tenant;

locked_by_tenant!(check_allow_partial_reports, "plio.allow_partial_reports", bool);
locked_by_tenant!(check_allowed_connections, "plio.allowed_connections", *mut c_char);
locked_by_tenant!(check_enforcement, "plio.enforcement", i32);

/// A configuration file may change it at any time, a running tenant included: it is in force there when the tenant ends. A
/// parallel worker takes its leader's value over, whatever comes first.
unsafe extern "C-unwind" fn assign_enforcement(value: i32, _extra: *mut c_void) {
    if !context::is_active() || session::is_initializing_worker() {
        put_in_force(Enforcement::from_ordinal(value));
    }
}

/// The tenant has changed, or ended.
pub fn on_tenant_change() {
    folded::forget();
    context::random::on_tenant_change();
    context::ready::on_tenant_change();
    put_in_force(ENFORCEMENT.get());
}

/// What a check hook is to hand out, until this is dropped: also when setting fails.
struct Handing<T: Copy + 'static>(&'static LocalKey<Cell<Option<T>>>);

impl<T: Copy> Handing<T> {
    fn over(place: &'static LocalKey<Cell<Option<T>>>, value: T) -> Self {
        place.set(Some(value));
        Self(place)
    }
}

impl<T: Copy> Drop for Handing<T> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

thread_local! {
    /// The role to hand out when the `role` setting is next checked.
    static ROLE_TO_SWITCH_TO: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// The role to hand out to the check of `role` that is running, if this extension sets it.
fn role_to_hand_out() -> Option<pg_sys::Oid> {
    ROLE_TO_SWITCH_TO.get()
}

/// A statement changes a setting while a tenant is active: neither this extension, nor PostgreSQL putting a value back, nor a
/// configuration file that is being read, where an error would lose the rest of the file.
fn is_foreign_change(source: pg_sys::GucSource::Type) -> bool {
    source >= pg_sys::GucSource::PGC_S_INTERACTIVE
        && context::is_active()
        && !guc::is_ours()
        && session::is_in_progress()
        && !session::is_initializing_worker()
}
