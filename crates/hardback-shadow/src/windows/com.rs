//! The thin adapter to COM: each method is one call, with its pointers. Nothing is decided here.
//!
//! `vssapi.dll` is loaded from the system's folder when it is needed, and not linked: it is none of the libraries that
//! Windows looks up in its own folder first, so another program's file of that name beside ours would be loaded into a
//! program that runs as administrator; and hardback starts where there is none.
#![allow(unsafe_code, reason = "COM: every call is through a pointer; each block says why it may")]

use super::bindings::{
    BSTR, GUID, IUnknown_Vtbl, IVssAsync_Vtbl, IVssBackupComponents_Vtbl, IVssExamineWriterMetadata_Vtbl,
    IVssWMFiledesc_Vtbl, VSS_SNAPSHOT_PROP,
};
use crate::vss::{Called, Code, Components, Failure, FilesOfWriter, Id, Library, Metadata, Operation, WriterStatus};
use std::ffi::c_void;
use std::ptr;
use windows_sys::Win32::Foundation::{HMODULE, SysFreeString, SysStringLen};
use windows_sys::Win32::System::Com::{
    COINIT_MULTITHREADED, CoInitializeEx, CoInitializeSecurity, CoUninitialize, EOAC_DYNAMIC_CLOAKING,
    RPC_C_AUTHN_LEVEL_PKT_PRIVACY, RPC_C_IMP_LEVEL_IMPERSONATE,
};
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW};
use windows_sys::core::w;

/// `VSS_CTX_BACKUP`.
const CONTEXT_BACKUP: i32 = 0;
/// `VSS_BT_COPY`.
const BACKUP_TYPE_COPY: i32 = 5;
/// `VSS_OBJECT_SNAPSHOT_SET`.
const OBJECT_SET: i32 = 2;
/// No provider in particular.
const ANY_PROVIDER: GUID = GUID { data1: 0, data2: 0, data3: 0, data4: [0; 8] };
/// `RPC_E_TOO_LATE`: this process has set its security already.
const TOO_LATE: i32 = 0x8001_0119_u32.cast_signed();

/// `CreateVssBackupComponents`.
type Create = unsafe extern "system" fn(*mut *mut c_void) -> i32;
/// `VssFreeSnapshotProperties`.
type Free = unsafe extern "system" fn(*mut VSS_SNAPSHOT_PROP);

/// The functions of `vssapi.dll`.
#[derive(Clone, Copy)]
struct Functions {
    create: Create,
    free: Free,
}

/// The library, in a thread in which COM is ready.
struct Com {
    functions: Functions,
}

/// Makes COM ready in this thread and loads the library.
pub(super) fn connect() -> Result<Box<dyn Library>, Failure> {
    // SAFETY: the call has no preconditions. What it did is undone when `com` is dropped.
    let answer = unsafe { CoInitializeEx(ptr::null(), COINIT_MULTITHREADED.cast_unsigned()) };
    check(answer).map_err(Failure::of("CoInitializeEx"))?;
    let initialized = Initialized;
    // Not once in a process: it is forgotten with the last thread in which COM was ready.
    let answer = set_security();
    if answer != TOO_LATE {
        check(answer).map_err(Failure::of("CoInitializeSecurity"))?;
    }
    let functions = functions()?;
    std::mem::forget(initialized);
    Ok(Box::new(Com { functions }))
}

/// Undoes `CoInitializeEx`.
struct Initialized;

impl Drop for Initialized {
    fn drop(&mut self) {
        // SAFETY: COM was initialized in this thread, and each of its objects is released by now.
        unsafe { CoUninitialize() };
    }
}

impl Drop for Com {
    fn drop(&mut self) {
        drop(Initialized);
    }
}

/// `CoInitializeSecurity`, as writers ask it of who wants a backup: before anything else of COM.
fn set_security() -> i32 {
    // SAFETY: null is allowed for all pointers; COM is initialized in this thread.
    unsafe {
        CoInitializeSecurity(
            ptr::null_mut(),
            -1,
            ptr::null(),
            ptr::null(),
            RPC_C_AUTHN_LEVEL_PKT_PRIVACY,
            RPC_C_IMP_LEVEL_IMPERSONATE,
            ptr::null(),
            EOAC_DYNAMIC_CLOAKING.cast_unsigned(),
            ptr::null(),
        )
    }
}

/// Loads `vssapi.dll`, which stays loaded.
fn functions() -> Result<Functions, Failure> {
    let missing = |what: &str| {
        let why = std::io::Error::last_os_error();
        Failure::Unreachable(format!("this Windows has no {what}: {why}"))
    };
    // SAFETY: the name ends with NUL; the file is the system's own.
    let library: HMODULE = unsafe { LoadLibraryExW(w!("vssapi.dll"), ptr::null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
    if library.is_null() {
        return Err(missing("vssapi.dll"));
    }
    let create = c"CreateVssBackupComponentsInternal";
    let free = c"VssFreeSnapshotPropertiesInternal";
    // SAFETY: the library is loaded and the names end with NUL.
    let found =
        unsafe { (GetProcAddress(library, create.as_ptr().cast()), GetProcAddress(library, free.as_ptr().cast())) };
    let (Some(create), Some(free)) = found else { return Err(missing("shadow copies")) };
    // SAFETY: these are the functions' types in Microsoft's headers.
    Ok(unsafe {
        Functions {
            create: std::mem::transmute::<unsafe extern "system" fn() -> isize, Create>(create),
            free: std::mem::transmute::<unsafe extern "system" fn() -> isize, Free>(free),
        }
    })
}

fn check(answer: i32) -> Called<()> {
    let code = Code::of(answer);
    if code.is_failure() { Err(code) } else { Ok(()) }
}

/// A pointer to a COM object that is ours to release.
struct Object(*mut c_void);

impl Object {
    /// Takes what a call wrote.
    fn new(pointer: *mut c_void) -> Called<Self> {
        if pointer.is_null() { Err(Code::UNEXPECTED) } else { Ok(Self(pointer)) }
    }

    /// Returns its table of methods.
    ///
    /// # Safety
    /// It is an object with that table.
    unsafe fn methods<V>(&self) -> &V {
        // SAFETY: a COM object begins with the pointer to its table, which lives as long as the library is loaded.
        unsafe { &**self.0.cast::<*const V>() }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: every COM object has these methods, and this pointer was ours and is used no more.
        unsafe { (self.methods::<IUnknown_Vtbl>().Release)(self.0) };
    }
}

impl Library for Com {
    fn create_components(&self) -> Called<Box<dyn Components>> {
        let mut pointer = ptr::null_mut();
        // SAFETY: the call writes one pointer.
        check(unsafe { (self.functions.create)(&raw mut pointer) })?;
        Ok(Box::new(BackupComponents { object: Object::new(pointer)?, functions: self.functions }))
    }
}

/// `IVssBackupComponents`.
struct BackupComponents {
    object: Object,
    functions: Functions,
}

impl BackupComponents {
    fn methods(&self) -> &IVssBackupComponents_Vtbl {
        // SAFETY: `CreateVssBackupComponents` makes objects with this table.
        unsafe { self.object.methods() }
    }

    fn this(&self) -> *mut c_void {
        self.object.0
    }

    /// Makes an operation of what a call wrote.
    fn operation(answer: i32, pointer: *mut c_void) -> Called<Box<dyn Operation>> {
        check(answer)?;
        Ok(Box::new(Async(Object::new(pointer)?)))
    }
}

/// Text as the calls want it.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn id_of(guid: &GUID) -> Id {
    let low = u128::from(u64::from_be_bytes(guid.data4));
    u128::from(guid.data1) << 96 | u128::from(guid.data2) << 80 | u128::from(guid.data3) << 64 | low
}

fn guid_of(id: Id) -> GUID {
    let [a, b, c, d, e, f, g, h, data4 @ ..] = id.to_be_bytes();
    GUID {
        data1: u32::from_be_bytes([a, b, c, d]),
        data2: u16::from_be_bytes([e, f]),
        data3: u16::from_be_bytes([g, h]),
        data4,
    }
}

/// Takes a text that a call made for us.
fn take_text(text: BSTR) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the text was made by the system's allocator for such texts, which knows its length, and is ours to free.
    unsafe {
        let units = std::slice::from_raw_parts(text, SysStringLen(text) as usize);
        let copied = String::from_utf16_lossy(units);
        SysFreeString(text);
        copied
    }
}

// Each call below is of this object's own table, from the thread that made the object; what is written to is memory of
// the method, and texts end with NUL and live over the call.
impl Components for BackupComponents {
    fn initialize_for_backup(&self) -> Called<()> {
        // SAFETY: as above; no text is allowed.
        check(unsafe { (self.methods().InitializeForBackup)(self.this(), ptr::null()) })
    }

    fn set_context_backup(&self) -> Called<()> {
        // SAFETY: as above.
        check(unsafe { (self.methods().SetContext)(self.this(), CONTEXT_BACKUP) })
    }

    fn set_backup_state_copy(&self) -> Called<()> {
        // SAFETY: as above.
        check(unsafe { (self.methods().SetBackupState)(self.this(), false, false, BACKUP_TYPE_COPY, false) })
    }

    fn gather_writer_metadata(&self) -> Called<Box<dyn Operation>> {
        let mut operation = ptr::null_mut();
        // SAFETY: as above.
        let answer = unsafe { (self.methods().GatherWriterMetadata)(self.this(), &raw mut operation) };
        Self::operation(answer, operation)
    }

    fn writer_metadata_count(&self) -> Called<u32> {
        let mut count = 0;
        // SAFETY: as above.
        check(unsafe { (self.methods().GetWriterMetadataCount)(self.this(), &raw mut count) })?;
        Ok(count)
    }

    fn writer_metadata(&self, number: u32) -> Called<Box<dyn Metadata>> {
        let (mut instance, mut pointer) = (ANY_PROVIDER, ptr::null_mut());
        // SAFETY: as above.
        check(unsafe { (self.methods().GetWriterMetadata)(self.this(), number, &raw mut instance, &raw mut pointer) })?;
        Ok(Box::new(WriterMetadata(Object::new(pointer)?)))
    }

    fn free_writer_metadata(&self) -> Called<()> {
        // SAFETY: as above.
        check(unsafe { (self.methods().FreeWriterMetadata)(self.this()) })
    }

    fn is_volume_supported(&self, volume: &str) -> Called<bool> {
        let mut is_supported = 0;
        // SAFETY: as above; what the metadata calls `*const` is written to.
        check(unsafe {
            let to = (&raw mut is_supported).cast_const();
            (self.methods().IsVolumeSupported)(self.this(), ANY_PROVIDER, wide(volume).as_ptr(), to)
        })?;
        Ok(is_supported != 0)
    }

    fn start_snapshot_set(&self) -> Called<Id> {
        let mut set = ANY_PROVIDER;
        // SAFETY: as above.
        check(unsafe { (self.methods().StartSnapshotSet)(self.this(), &raw mut set) })?;
        Ok(id_of(&set))
    }

    fn add_to_snapshot_set(&self, volume: &str) -> Called<Id> {
        let mut copy = ANY_PROVIDER;
        // SAFETY: as above.
        check(unsafe {
            (self.methods().AddToSnapshotSet)(self.this(), wide(volume).as_ptr(), ANY_PROVIDER, &raw mut copy)
        })?;
        Ok(id_of(&copy))
    }

    fn prepare_for_backup(&self) -> Called<Box<dyn Operation>> {
        let mut operation = ptr::null_mut();
        // SAFETY: as above.
        let answer = unsafe { (self.methods().PrepareForBackup)(self.this(), &raw mut operation) };
        Self::operation(answer, operation)
    }

    fn do_snapshot_set(&self) -> Called<Box<dyn Operation>> {
        let mut operation = ptr::null_mut();
        // SAFETY: as above.
        let answer = unsafe { (self.methods().DoSnapshotSet)(self.this(), &raw mut operation) };
        Self::operation(answer, operation)
    }

    fn gather_writer_status(&self) -> Called<Box<dyn Operation>> {
        let mut operation = ptr::null_mut();
        // SAFETY: as above.
        let answer = unsafe { (self.methods().GatherWriterStatus)(self.this(), &raw mut operation) };
        Self::operation(answer, operation)
    }

    fn writer_status_count(&self) -> Called<u32> {
        let mut count = 0;
        // SAFETY: as above.
        check(unsafe { (self.methods().GetWriterStatusCount)(self.this(), &raw mut count) })?;
        Ok(count)
    }

    fn writer_status(&self, number: u32) -> Called<WriterStatus> {
        let (mut instance, mut writer, mut name) = (ANY_PROVIDER, ANY_PROVIDER, ptr::null());
        let (mut state, mut failure) = (0, 0);
        // SAFETY: as above.
        check(unsafe {
            (self.methods().GetWriterStatus)(
                self.this(),
                number,
                &raw mut instance,
                &raw mut writer,
                &raw mut name,
                &raw mut state,
                &raw mut failure,
            )
        })?;
        Ok(WriterStatus { name: take_text(name), state, failure: Code::of(failure) })
    }

    fn free_writer_status(&self) -> Called<()> {
        // SAFETY: as above.
        check(unsafe { (self.methods().FreeWriterStatus)(self.this()) })
    }

    fn snapshot_device(&self, copy: Id) -> Called<String> {
        let mut properties = VSS_SNAPSHOT_PROP::default();
        // SAFETY: as above.
        check(unsafe { (self.methods().GetSnapshotProperties)(self.this(), guid_of(copy), &raw mut properties) })?;
        let device = properties.m_pwszSnapshotDeviceObject;
        let text = if device.is_null() {
            None
        } else {
            // SAFETY: the call succeeded, so the text ends with NUL.
            let units = unsafe { (0..).take_while(|at| *device.add(*at) != 0).count() };
            // SAFETY: as many units were just read.
            Some(String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(device, units) }))
        };
        // SAFETY: the structure was filled by the library, whose function frees what it points to.
        unsafe { (self.functions.free)(&raw mut properties) };
        text.ok_or(Code::UNEXPECTED)
    }

    fn abort_backup(&self) -> Called<()> {
        // SAFETY: as above.
        check(unsafe { (self.methods().AbortBackup)(self.this()) })
    }

    fn backup_complete(&self) -> Called<Box<dyn Operation>> {
        let mut operation = ptr::null_mut();
        // SAFETY: as above.
        let answer = unsafe { (self.methods().BackupComplete)(self.this(), &raw mut operation) };
        Self::operation(answer, operation)
    }

    fn delete_snapshot_set(&self, set: Id) -> Called<()> {
        let (mut deleted, mut not_deleted) = (0, ANY_PROVIDER);
        // SAFETY: as above; what the metadata calls `*const` is written to.
        check(unsafe {
            let (deleted, not_deleted) = ((&raw mut deleted).cast_const(), (&raw mut not_deleted).cast_const());
            (self.methods().DeleteSnapshots)(self.this(), guid_of(set), OBJECT_SET, 1, deleted, not_deleted)
        })
    }
}

/// `IVssExamineWriterMetadata`.
struct WriterMetadata(Object);

impl WriterMetadata {
    fn methods(&self) -> &IVssExamineWriterMetadata_Vtbl {
        // SAFETY: `GetWriterMetadata` writes objects with this table.
        unsafe { self.0.methods() }
    }
}

impl Metadata for WriterMetadata {
    fn name(&self) -> Called<String> {
        let (mut instance, mut writer, mut name) = (ANY_PROVIDER, ANY_PROVIDER, ptr::null());
        let (mut usage, mut source) = (0, 0);
        // SAFETY: the call is of this object's own table, and writes what it is given.
        check(unsafe {
            let ids = (&raw mut instance, &raw mut writer);
            (self.methods().GetIdentity)(self.0.0, ids.0, ids.1, &raw mut name, &raw mut usage, &raw mut source)
        })?;
        Ok(take_text(name))
    }

    fn exclude_count(&self) -> Called<u32> {
        let (mut includes, mut excludes, mut components) = (0, 0, 0);
        // SAFETY: the call is of this object's own table, and writes three numbers.
        check(unsafe {
            let counts = (&raw mut includes, &raw mut excludes, &raw mut components);
            (self.methods().GetFileCounts)(self.0.0, counts.0, counts.1, counts.2)
        })?;
        Ok(excludes)
    }

    fn exclude(&self, number: u32) -> Called<FilesOfWriter> {
        let mut pointer = ptr::null_mut();
        // SAFETY: the call is of this object's own table, and writes one pointer.
        check(unsafe { (self.methods().GetExcludeFile)(self.0.0, number, &raw mut pointer) })?;
        let files = Object::new(pointer)?;
        // SAFETY: `GetExcludeFile` writes objects with this table.
        let methods: &IVssWMFiledesc_Vtbl = unsafe { files.methods() };
        let (mut path, mut names, mut is_recursive) = (ptr::null(), ptr::null(), 0u8);
        // SAFETY: the calls are of the object's own table; each writes one value, and a `boolean` is one byte.
        let answers = unsafe {
            [
                (methods.GetPath)(files.0, &raw mut path),
                (methods.GetFilespec)(files.0, &raw mut names),
                (methods.GetRecursive)(files.0, (&raw mut is_recursive).cast()),
            ]
        };
        let (path, names) = (take_text(path), take_text(names));
        answers.into_iter().try_for_each(check)?;
        Ok(FilesOfWriter { path, names, is_recursive: is_recursive != 0 })
    }
}

/// `IVssAsync`.
struct Async(Object);

impl Async {
    fn methods(&self) -> &IVssAsync_Vtbl {
        // SAFETY: the calls that start something write objects with this table.
        unsafe { self.0.methods() }
    }
}

impl Operation for Async {
    fn wait(&self, milliseconds: u32) -> Called<()> {
        // SAFETY: the call is of this object's own table.
        check(unsafe { (self.methods().Wait)(self.0.0, milliseconds) })
    }

    fn query_status(&self) -> Called<Code> {
        let mut status = 0;
        // SAFETY: the call is of this object's own table, and writes one number; the reserved one must not be there.
        check(unsafe { (self.methods().QueryStatus)(self.0.0, &raw mut status, ptr::null_mut()) })?;
        Ok(Code::of(status))
    }

    fn cancel(&self) -> Called<()> {
        // SAFETY: the call is of this object's own table.
        check(unsafe { (self.methods().Cancel)(self.0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_number_of_a_guid() {
        let guid = GUID { data1: 0x1234_5678, data2: 0x9ABC, data3: 0xDEF0, data4: [1, 2, 3, 4, 5, 6, 7, 8] };
        assert_eq!(id_of(&guid), 0x1234_5678_9ABC_DEF0_0102_0304_0506_0708);
        assert_eq!(id_of(&guid_of(id_of(&guid))), id_of(&guid));
    }
}
