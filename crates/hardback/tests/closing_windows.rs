//! A console that is closed while a run is under way: the run has the time to clear up.
#![allow(
    unsafe_code,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]
#![cfg(windows)]

mod environment;

use environment::{TestEnvironment, begun};
use std::ffi::{CStr, c_void};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::Child;
use std::ptr;
use std::time::Duration;

type Handle = *mut c_void;
type Routine = unsafe extern "system" fn(*mut c_void) -> u32;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetModuleHandleA(name: *const i8) -> Handle;
    fn GetProcAddress(module: Handle, name: *const i8) -> Option<Routine>;
    fn CreateRemoteThread(
        process: Handle,
        security: *const c_void,
        stack: usize,
        start: Routine,
        parameter: *mut c_void,
        flags: u32,
        id: *mut u32,
    ) -> Handle;
    fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
}

const CTRL_CLOSE_EVENT: usize = 2;

/// Tells a process that its console is closed, as Windows does it: in a new thread of that process, in which the handlers
/// are called. Returns the thread; Windows would end the process with it.
fn close_console(process: &Child) -> OwnedHandle {
    let (library, name): (&CStr, &CStr) = (c"kernelbase.dll", c"CtrlRoutine");
    // SAFETY: the names end with NUL; the library is at the same place in all processes; the thread that is answered is
    // ours.
    unsafe {
        let routine = GetProcAddress(GetModuleHandleA(library.as_ptr()), name.as_ptr()).unwrap();
        let parameter = ptr::without_provenance_mut(CTRL_CLOSE_EVENT);
        let process = process.as_raw_handle();
        let thread = CreateRemoteThread(process, ptr::null(), 0, routine, parameter, 0, ptr::null_mut());
        assert!(!thread.is_null(), "{}", std::io::Error::last_os_error());
        OwnedHandle::from_raw_handle(thread)
    }
}

#[test]
fn a_run_whose_console_is_closed_ends_by_itself_with_its_last_hooks() {
    if std::env::var_os("HARDBACK_TEST_WINE").is_none() {
        hardback_testing::skip!("what Windows itself does then is not for a test");
    }
    let env = TestEnvironment::new();
    env.write("source/file", "text");
    // It is killed when the run is to stop; the one at the end takes its time, and is not.
    let wait = "echo.>started & ping -n 10 127.0.0.1 >nul";
    let last = "ping -n 3 127.0.0.1 >nul & echo %HARDBACK_RESULT%>ended";
    let hooks = ["--before-shadow", wait, "--after-run", last];
    let args = [&["backup", "source", "target", "--same-disk"][..], &hooks].concat();
    let mut run = begun(|| env.start(&args).spawn());
    while !env.path("started").exists() {
        assert!(run.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let thread = close_console(&run);
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(thread.as_raw_handle(), 120_000) };
    // From here on Windows would have ended the process.
    assert_eq!(env.read("ended").trim_end(), "interrupted");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(!env.names("target").iter().any(|name| name == "host") || env.names("target/host").is_empty());
}
