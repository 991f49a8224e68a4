//! Declarations of the Volume Shadow Copy Service, made from Microsoft's metadata and not by hand. By `windows-bindgen`
//! 0.100.0, `windows_bindgen::bindgen(["--out", "bindings.rs", "--flat", "--sys", "--filter", "IVssBackupComponents",
//! "IVssAsync", "IVssExamineWriterMetadata", "IVssWMFiledesc", "VSS_SNAPSHOT_PROP"])`, then `cargo fmt`.
//!
//! Trap: outputs of some calls are declared as `*const` (`IsVolumeSupported`, `DeleteSnapshots`): they are written to.
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated"
)]

pub type BOOL = i32;
pub type BSTR = *const u16;
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct GUID {
    pub data1: u32,
    pub data2: u16,
    pub data3: u16,
    pub data4: [u8; 8],
}
pub type HRESULT = i32;
pub const IID_IDispatch: GUID =
    GUID { data1: 0x00020400, data2: 0x0000, data3: 0x0000, data4: [192, 0, 0, 0, 0, 0, 0, 70] };
#[repr(C)]
pub struct IDispatch_Vtbl {
    pub base__: IUnknown_Vtbl,
    GetTypeInfoCount: usize,
    GetTypeInfo: usize,
    GetIDsOfNames: usize,
    Invoke: usize,
}
pub const IID_IUnknown: GUID =
    GUID { data1: 0x00000000, data2: 0x0000, data3: 0x0000, data4: [192, 0, 0, 0, 0, 0, 0, 70] };
#[repr(C)]
pub struct IUnknown_Vtbl {
    pub QueryInterface: unsafe extern "system" fn(
        this: *mut core::ffi::c_void,
        iid: *const GUID,
        interface: *mut *mut core::ffi::c_void,
    ) -> HRESULT,
    pub AddRef: unsafe extern "system" fn(this: *mut core::ffi::c_void) -> u32,
    pub Release: unsafe extern "system" fn(this: *mut core::ffi::c_void) -> u32,
}
pub const IID_IVssAsync: GUID =
    GUID { data1: 0x507c37b4, data2: 0xcf5b, data3: 0x4e95, data4: [176, 175, 20, 235, 151, 103, 70, 126] };
#[repr(C)]
pub struct IVssAsync_Vtbl {
    pub base__: IUnknown_Vtbl,
    pub Cancel: unsafe extern "system" fn(*mut core::ffi::c_void) -> HRESULT,
    pub Wait: unsafe extern "system" fn(*mut core::ffi::c_void, u32) -> HRESULT,
    pub QueryStatus: unsafe extern "system" fn(*mut core::ffi::c_void, *mut HRESULT, *mut i32) -> HRESULT,
}
pub const IID_IVssBackupComponents: GUID =
    GUID { data1: 0x665c1d5f, data2: 0xc218, data3: 0x414d, data4: [160, 93, 127, 239, 95, 157, 92, 134] };
#[repr(C)]
pub struct IVssBackupComponents_Vtbl {
    pub base__: IUnknown_Vtbl,
    pub GetWriterComponentsCount: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32) -> HRESULT,
    pub GetWriterComponents:
        unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut *mut core::ffi::c_void) -> HRESULT,
    pub InitializeForBackup: unsafe extern "system" fn(*mut core::ffi::c_void, BSTR) -> HRESULT,
    pub SetBackupState: unsafe extern "system" fn(*mut core::ffi::c_void, bool, bool, VSS_BACKUP_TYPE, bool) -> HRESULT,
    pub InitializeForRestore: unsafe extern "system" fn(*mut core::ffi::c_void, BSTR) -> HRESULT,
    pub SetRestoreState: unsafe extern "system" fn(*mut core::ffi::c_void, VSS_RESTORE_TYPE) -> HRESULT,
    pub GatherWriterMetadata: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetWriterMetadataCount: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32) -> HRESULT,
    pub GetWriterMetadata:
        unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut VSS_ID, *mut *mut core::ffi::c_void) -> HRESULT,
    pub FreeWriterMetadata: unsafe extern "system" fn(*mut core::ffi::c_void) -> HRESULT,
    pub AddComponent: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
    ) -> HRESULT,
    pub PrepareForBackup: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub AbortBackup: unsafe extern "system" fn(*mut core::ffi::c_void) -> HRESULT,
    pub GatherWriterStatus: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetWriterStatusCount: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32) -> HRESULT,
    pub FreeWriterStatus: unsafe extern "system" fn(*mut core::ffi::c_void) -> HRESULT,
    pub GetWriterStatus: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        u32,
        *mut VSS_ID,
        *mut VSS_ID,
        *mut BSTR,
        *mut VSS_WRITER_STATE,
        *mut HRESULT,
    ) -> HRESULT,
    pub SetBackupSucceeded: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        bool,
    ) -> HRESULT,
    pub SetBackupOptions: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
    ) -> HRESULT,
    pub SetSelectedForRestore:
        unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, VSS_COMPONENT_TYPE, PCWSTR, PCWSTR, bool) -> HRESULT,
    pub SetRestoreOptions: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
    ) -> HRESULT,
    pub SetAdditionalRestores:
        unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, VSS_COMPONENT_TYPE, PCWSTR, PCWSTR, bool) -> HRESULT,
    pub SetPreviousBackupStamp: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
    ) -> HRESULT,
    pub SaveAsXML: unsafe extern "system" fn(*mut core::ffi::c_void, *const BSTR) -> HRESULT,
    pub BackupComplete: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub AddAlternativeLocationMapping: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        bool,
        PCWSTR,
    ) -> HRESULT,
    pub AddRestoreSubcomponent: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        bool,
    ) -> HRESULT,
    pub SetFileRestoreStatus: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        VSS_FILE_RESTORE_STATUS,
    ) -> HRESULT,
    pub AddNewTarget: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        PCWSTR,
        bool,
        PCWSTR,
    ) -> HRESULT,
    pub SetRangesFilePath: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_COMPONENT_TYPE,
        PCWSTR,
        PCWSTR,
        u32,
        PCWSTR,
    ) -> HRESULT,
    pub PreRestore: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub PostRestore: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub SetContext: unsafe extern "system" fn(*mut core::ffi::c_void, i32) -> HRESULT,
    pub StartSnapshotSet: unsafe extern "system" fn(*mut core::ffi::c_void, *mut VSS_ID) -> HRESULT,
    pub AddToSnapshotSet: unsafe extern "system" fn(*mut core::ffi::c_void, PCWSTR, VSS_ID, *mut VSS_ID) -> HRESULT,
    pub DoSnapshotSet: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub DeleteSnapshots: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_OBJECT_TYPE,
        BOOL,
        *const i32,
        *const VSS_ID,
    ) -> HRESULT,
    pub ImportSnapshots: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub BreakSnapshotSet: unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID) -> HRESULT,
    pub GetSnapshotProperties:
        unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, *mut VSS_SNAPSHOT_PROP) -> HRESULT,
    pub Query: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        VSS_ID,
        VSS_OBJECT_TYPE,
        VSS_OBJECT_TYPE,
        *const *mut core::ffi::c_void,
    ) -> HRESULT,
    pub IsVolumeSupported: unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, PCWSTR, *const BOOL) -> HRESULT,
    pub DisableWriterClasses: unsafe extern "system" fn(*mut core::ffi::c_void, *const VSS_ID, u32) -> HRESULT,
    pub EnableWriterClasses: unsafe extern "system" fn(*mut core::ffi::c_void, *const VSS_ID, u32) -> HRESULT,
    pub DisableWriterInstances: unsafe extern "system" fn(*mut core::ffi::c_void, *const VSS_ID, u32) -> HRESULT,
    pub ExposeSnapshot:
        unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, PCWSTR, i32, PCWSTR, *mut VSS_PWSZ) -> HRESULT,
    pub RevertToSnapshot: unsafe extern "system" fn(*mut core::ffi::c_void, VSS_ID, BOOL) -> HRESULT,
    pub QueryRevertStatus:
        unsafe extern "system" fn(*mut core::ffi::c_void, PCWSTR, *mut *mut core::ffi::c_void) -> HRESULT,
}
pub const IID_IVssEnumObject: GUID =
    GUID { data1: 0xae1c7110, data2: 0x2f60, data3: 0x11d3, data4: [138, 57, 0, 192, 79, 114, 216, 227] };
#[repr(C)]
pub struct IVssEnumObject_Vtbl {
    pub base__: IUnknown_Vtbl,
    Next: usize,
    Skip: usize,
    Reset: usize,
    Clone: usize,
}
pub const IID_IVssExamineWriterMetadata: GUID =
    GUID { data1: 0x902fcf7f, data2: 0xb7fd, data3: 0x42f8, data4: [129, 241, 178, 228, 0, 177, 229, 189] };
#[repr(C)]
pub struct IVssExamineWriterMetadata_Vtbl {
    pub base__: IUnknown_Vtbl,
    pub GetIdentity: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        *mut VSS_ID,
        *mut VSS_ID,
        *mut BSTR,
        *mut VSS_USAGE_TYPE,
        *mut VSS_SOURCE_TYPE,
    ) -> HRESULT,
    pub GetFileCounts: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32, *mut u32, *mut u32) -> HRESULT,
    pub GetIncludeFile: unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetExcludeFile: unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetComponent: unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetRestoreMethod: unsafe extern "system" fn(
        *mut core::ffi::c_void,
        *mut VSS_RESTOREMETHOD_ENUM,
        *mut BSTR,
        *mut BSTR,
        *mut VSS_WRITERRESTORE_ENUM,
        *mut bool,
        *mut u32,
    ) -> HRESULT,
    pub GetAlternateLocationMapping:
        unsafe extern "system" fn(*mut core::ffi::c_void, u32, *mut *mut core::ffi::c_void) -> HRESULT,
    pub GetBackupSchema: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32) -> HRESULT,
    pub GetDocument: unsafe extern "system" fn(*mut core::ffi::c_void, *mut *mut core::ffi::c_void) -> HRESULT,
    pub SaveAsXML: unsafe extern "system" fn(*mut core::ffi::c_void, *const BSTR) -> HRESULT,
    pub LoadFromXML: unsafe extern "system" fn(*mut core::ffi::c_void, BSTR) -> HRESULT,
}
#[repr(C)]
pub struct IVssWMComponent_Vtbl {
    pub base__: IUnknown_Vtbl,
    GetComponentInfo: usize,
    FreeComponentInfo: usize,
    GetFile: usize,
    GetDatabaseFile: usize,
    GetDatabaseLogFile: usize,
    GetDependency: usize,
}
#[repr(C)]
pub struct IVssWMFiledesc_Vtbl {
    pub base__: IUnknown_Vtbl,
    pub GetPath: unsafe extern "system" fn(*mut core::ffi::c_void, *mut BSTR) -> HRESULT,
    pub GetFilespec: unsafe extern "system" fn(*mut core::ffi::c_void, *mut BSTR) -> HRESULT,
    pub GetRecursive: unsafe extern "system" fn(*mut core::ffi::c_void, *mut bool) -> HRESULT,
    pub GetAlternateLocation: unsafe extern "system" fn(*mut core::ffi::c_void, *mut BSTR) -> HRESULT,
    pub GetBackupTypeMask: unsafe extern "system" fn(*mut core::ffi::c_void, *mut u32) -> HRESULT,
}
#[repr(C)]
pub struct IVssWriterComponents_Vtbl {
    GetComponentCount: usize,
    GetWriterInfo: usize,
    GetComponent: usize,
}
#[repr(C)]
pub struct IVssWriterComponentsExt_Vtbl {
    pub base__: IVssWriterComponents_Vtbl,
}
pub const IID_IXMLDOMDocument: GUID =
    GUID { data1: 0x2933bf81, data2: 0x7b36, data3: 0x11d2, data4: [178, 14, 0, 192, 79, 152, 62, 96] };
#[repr(C)]
pub struct IXMLDOMDocument_Vtbl {
    pub base__: IXMLDOMNode_Vtbl,
    doctype: usize,
    implementation: usize,
    documentElement: usize,
    putref_documentElement: usize,
    createElement: usize,
    createDocumentFragment: usize,
    createTextNode: usize,
    createComment: usize,
    createCDATASection: usize,
    createProcessingInstruction: usize,
    createAttribute: usize,
    createEntityReference: usize,
    getElementsByTagName: usize,
    createNode: usize,
    nodeFromID: usize,
    load: usize,
    readyState: usize,
    parseError: usize,
    url: usize,
    r#async: usize,
    Setasync: usize,
    abort: usize,
    loadXML: usize,
    save: usize,
    validateOnParse: usize,
    SetvalidateOnParse: usize,
    resolveExternals: usize,
    SetresolveExternals: usize,
    preserveWhiteSpace: usize,
    SetpreserveWhiteSpace: usize,
    Setonreadystatechange: usize,
    Setondataavailable: usize,
    Setontransformnode: usize,
}
pub const IID_IXMLDOMNode: GUID =
    GUID { data1: 0x2933bf80, data2: 0x7b36, data3: 0x11d2, data4: [178, 14, 0, 192, 79, 152, 62, 96] };
#[repr(C)]
pub struct IXMLDOMNode_Vtbl {
    pub base__: IDispatch_Vtbl,
    nodeName: usize,
    nodeValue: usize,
    SetnodeValue: usize,
    nodeType: usize,
    parentNode: usize,
    childNodes: usize,
    firstChild: usize,
    lastChild: usize,
    previousSibling: usize,
    nextSibling: usize,
    attributes: usize,
    insertBefore: usize,
    replaceChild: usize,
    removeChild: usize,
    appendChild: usize,
    hasChildNodes: usize,
    ownerDocument: usize,
    cloneNode: usize,
    nodeTypeString: usize,
    text: usize,
    Settext: usize,
    specified: usize,
    definition: usize,
    nodeTypedValue: usize,
    SetnodeTypedValue: usize,
    dataType: usize,
    SetdataType: usize,
    xml: usize,
    transformNode: usize,
    selectNodes: usize,
    selectSingleNode: usize,
    parsed: usize,
    namespaceURI: usize,
    prefix: usize,
    baseName: usize,
    transformNodeToObject: usize,
}
pub type PCWSTR = *const u16;
pub type VSS_BACKUP_TYPE = i32;
pub type VSS_COMPONENT_TYPE = i32;
pub type VSS_FILE_RESTORE_STATUS = i32;
pub type VSS_ID = GUID;
pub type VSS_OBJECT_TYPE = i32;
pub type VSS_PWSZ = *mut u16;
pub type VSS_RESTOREMETHOD_ENUM = i32;
pub type VSS_RESTORE_TYPE = i32;
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct VSS_SNAPSHOT_PROP {
    pub m_SnapshotId: VSS_ID,
    pub m_SnapshotSetId: VSS_ID,
    pub m_lSnapshotsCount: i32,
    pub m_pwszSnapshotDeviceObject: VSS_PWSZ,
    pub m_pwszOriginalVolumeName: VSS_PWSZ,
    pub m_pwszOriginatingMachine: VSS_PWSZ,
    pub m_pwszServiceMachine: VSS_PWSZ,
    pub m_pwszExposedName: VSS_PWSZ,
    pub m_pwszExposedPath: VSS_PWSZ,
    pub m_ProviderId: VSS_ID,
    pub m_lSnapshotAttributes: i32,
    pub m_tsCreationTimestamp: VSS_TIMESTAMP,
    pub m_eStatus: VSS_SNAPSHOT_STATE,
}
pub type VSS_SNAPSHOT_STATE = i32;
pub type VSS_SOURCE_TYPE = i32;
pub type VSS_TIMESTAMP = i64;
pub type VSS_USAGE_TYPE = i32;
pub type VSS_WRITERRESTORE_ENUM = i32;
pub type VSS_WRITER_STATE = i32;
