// A stand-in for vssapi.dll: the tests' own Volume Shadow Copy Service.
//
// It is written against mingw-w64's declaration of the interface, which shares nothing with the one in hardback, so the
// two check each other: `override` lets the compiler check every name and type here, and a table of methods that is out
// of step in either fails the tests.
//
// It keeps the order of the calls (VSS_E_BAD_STATE), checks what it is given, and counts what was made and not released.
// The environment says the rest:
//   HARDBACK_VSS_LOG      a file that each call is written to: NAME, what it was about, its answer, what lives after it
//   HARDBACK_VSS_DEVICE   the device of the copies: a folder that holds what is frozen
//   HARDBACK_VSS_FAULTS   faults with `;` between them, at each call or with @N at the N-th since they are what they are:
//                           NAME=HHHHHHHH   the call answers so            NAME*=HHHHHHHH  what it starts ends so
//                           NAME!           what it starts never ends      NAME$           the process dies
//   HARDBACK_VSS_WRITERS  writers with `;` between them: NAME,STATE,HHHHHHHH
//   HARDBACK_VSS_WAIT     the milliseconds that a wait takes for something that goes on
//   HARDBACK_VSS_EXCLUDES what each writer leaves out: PATH,SPEC,RECURSIVE with `;` between them
#include <windows.h>
#include <objbase.h>
#include <oleauto.h>
#include <vss.h>
#include <vswriter.h>
#include <vsbackup.h>
#include <vsserror.h>
#include <atomic>
#include <map>
#include <string>
#include <vector>

namespace {

std::atomic<long> living;
std::map<std::wstring, int> counts;
std::wstring counted_for;
CRITICAL_SECTION lock;

std::wstring variable(const wchar_t *name) {
    std::vector<wchar_t> text(32768);
    DWORD length = GetEnvironmentVariableW(name, text.data(), text.size());
    return std::wstring(text.data(), length < text.size() ? length : 0);
}

std::vector<std::wstring> split(const std::wstring &text, wchar_t at) {
    std::vector<std::wstring> parts;
    size_t start = 0;
    while (start < text.size()) {
        size_t end = text.find(at, start);
        if (end == std::wstring::npos) end = text.size();
        if (end > start) parts.push_back(text.substr(start, end - start));
        start = end + 1;
    }
    return parts;
}

HRESULT number(const std::wstring &text) { return HRESULT(wcstoul(text.c_str(), nullptr, 16)); }

void write_log(const std::wstring &line) {
    std::wstring path = variable(L"HARDBACK_VSS_LOG");
    if (path.empty()) return;
    HANDLE file = CreateFileW(path.c_str(), FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_ALWAYS, 0, nullptr);
    if (file == INVALID_HANDLE_VALUE) return;
    char bytes[4096];
    int length = WideCharToMultiByte(CP_UTF8, 0, line.c_str(), int(line.size()), bytes, sizeof bytes, nullptr, nullptr);
    DWORD written;
    WriteFile(file, bytes, length, &written, nullptr);
    CloseHandle(file);
}

struct Fault {
    HRESULT answer = S_OK;
    HRESULT ends = VSS_S_ASYNC_FINISHED;
    bool hangs = false;
};

// What the environment says of a call, which is counted.
Fault fault_of(const wchar_t *name) {
    std::wstring faults = variable(L"HARDBACK_VSS_FAULTS");
    EnterCriticalSection(&lock);
    if (faults != counted_for) counts.clear();
    counted_for = faults;
    int count = ++counts[name];
    LeaveCriticalSection(&lock);
    Fault fault;
    for (std::wstring word : split(faults, L';')) {
        size_t at = word.find(L'@');
        if (at != std::wstring::npos) {
            if (_wtoi(word.c_str() + at + 1) != count) continue;
            word.resize(at);
        }
        std::wstring start = name;
        if (word == start + L"!") fault.hangs = true;
        if (word == start + L"$") TerminateProcess(GetCurrentProcess(), 99);
        if (word.find(start + L"=") == 0) fault.answer = number(word.substr(start.size() + 1));
        if (word.find(start + L"*=") == 0) fault.ends = number(word.substr(start.size() + 2));
    }
    return fault;
}

HRESULT tell(const wchar_t *name, const std::wstring &about, HRESULT answer) {
    wchar_t end[64];
    swprintf(end, 64, L" -> %08lx living=%ld\n", (unsigned long)answer, living.load());
    write_log(std::wstring(name) + (about.empty() ? L"" : L" " + about) + end);
    return answer;
}

// How far a set is; most calls belong to one place.
enum State { NEW, INITIALIZED, CONTEXT, BACKUP_STATE, METADATA, STARTED, ADDED, PREPARED, MADE, COMPLETED, ABORTED };

struct Async final : IVssAsync {
    LONG references = 1;
    const wchar_t *name;
    Fault fault;
    State *state;
    State then;
    int pending;
    bool cancelled = false;

    Async(const wchar_t *name, Fault fault, State *state, State then)
        : name(name), fault(fault), state(state), then(then), pending(wcscmp(name, L"DoSnapshotSet") == 0) { ++living; }

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override { *object = nullptr; return E_NOINTERFACE; }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references; }
    ULONG STDMETHODCALLTYPE Release() override {
        ULONG left = --references;
        if (left == 0) { --living; tell(L"ReleaseAsync", name, S_OK); delete this; }
        return left;
    }
    HRESULT STDMETHODCALLTYPE Cancel() override {
        cancelled = true;
        return tell(L"Cancel", name, fault_of(L"Cancel").answer);
    }
    // That it returns says nothing about how the operation stands.
    HRESULT STDMETHODCALLTYPE Wait(DWORD milliseconds) override {
        HRESULT answer = fault_of(L"Wait").answer;
        if (FAILED(answer)) return tell(L"Wait", name, answer);
        if ((fault.hangs && !cancelled) || pending > 0) {
            std::wstring text = variable(L"HARDBACK_VSS_WAIT");
            DWORD pause = text.empty() ? 120 : DWORD(_wtoi(text.c_str()));
            Sleep(milliseconds < pause ? milliseconds : pause);
        }
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE QueryStatus(HRESULT *result, INT *reserved) override {
        HRESULT answer = fault_of(L"QueryStatus").answer;
        if (FAILED(answer)) return tell(L"QueryStatus", name, answer);
        if (reserved) return tell(L"QueryStatus", name, E_INVALIDARG);
        if (fault.hangs) *result = cancelled ? VSS_S_ASYNC_CANCELLED : VSS_S_ASYNC_PENDING;
        else if (pending > 0) { --pending; *result = VSS_S_ASYNC_PENDING; }
        else { *result = fault.ends; if (fault.ends == VSS_S_ASYNC_FINISHED) *state = then; }
        return S_OK;
    }
};

struct FileDescription final : IVssWMFiledesc {
    LONG references = 1;
    std::wstring path, spec;
    bool recursive;

    FileDescription(std::wstring path, std::wstring spec, bool recursive) : path(path), spec(spec), recursive(recursive) { ++living; }
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override { *object = nullptr; return E_NOINTERFACE; }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references; }
    ULONG STDMETHODCALLTYPE Release() override {
        ULONG left = --references;
        if (left == 0) { --living; delete this; }
        return left;
    }
    HRESULT STDMETHODCALLTYPE GetPath(BSTR *text) override { *text = SysAllocString(path.c_str()); return fault_of(L"GetPath").answer; }
    HRESULT STDMETHODCALLTYPE GetFilespec(BSTR *text) override { *text = SysAllocString(spec.c_str()); return S_OK; }
    HRESULT STDMETHODCALLTYPE GetRecursive(boolean *value) override { *value = recursive; return S_OK; }
    HRESULT STDMETHODCALLTYPE GetAlternateLocation(BSTR *text) override { *text = nullptr; return S_FALSE; }
    HRESULT STDMETHODCALLTYPE GetBackupTypeMask(DWORD *mask) override { *mask = 0; return S_OK; }
};

struct Metadata final : IVssExamineWriterMetadata {
    LONG references = 1;
    std::wstring name;

    explicit Metadata(std::wstring name) : name(name) { ++living; }
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override { *object = nullptr; return E_NOINTERFACE; }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references; }
    ULONG STDMETHODCALLTYPE Release() override {
        ULONG left = --references;
        if (left == 0) { --living; delete this; }
        return left;
    }
    HRESULT STDMETHODCALLTYPE GetIdentity(VSS_ID *, VSS_ID *, BSTR *text, VSS_USAGE_TYPE *, VSS_SOURCE_TYPE *) override {
        *text = SysAllocString(name.c_str());
        return tell(L"GetIdentity", name, fault_of(L"GetIdentity").answer);
    }
    HRESULT STDMETHODCALLTYPE GetFileCounts(UINT *includes, UINT *excludes, UINT *components) override {
        *includes = *components = 0;
        *excludes = UINT(split(variable(L"HARDBACK_VSS_EXCLUDES"), L';').size());
        return tell(L"GetFileCounts", name, fault_of(L"GetFileCounts").answer);
    }
    HRESULT STDMETHODCALLTYPE GetIncludeFile(UINT, IVssWMFiledesc **) override { return tell(L"GetIncludeFile", name, E_NOTIMPL); }
    HRESULT STDMETHODCALLTYPE GetExcludeFile(UINT at, IVssWMFiledesc **file) override {
        *file = nullptr;
        HRESULT answer = fault_of(L"GetExcludeFile").answer;
        auto parts = split(split(variable(L"HARDBACK_VSS_EXCLUDES"), L';').at(at), L',');
        if (SUCCEEDED(answer)) *file = new FileDescription(parts.at(0), parts.at(1), parts.at(2) == L"1");
        return tell(L"GetExcludeFile", name, answer);
    }
    HRESULT STDMETHODCALLTYPE GetComponent(UINT, IVssWMComponent **) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetRestoreMethod(VSS_RESTOREMETHOD_ENUM *, BSTR *, BSTR *, VSS_WRITERRESTORE_ENUM *, boolean *, UINT *) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetAlternateLocationMapping(UINT, IVssWMFiledesc **) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetBackupSchema(DWORD *) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetDocument(IXMLDOMDocument **) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE SaveAsXML(BSTR *) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE LoadFromXML(BSTR) override { return E_NOTIMPL; }
};

// What hardback has no use for.
#define UNUSED(name) override { return tell(L## #name, L"unused", E_NOTIMPL); }

struct Components final : IVssBackupComponents {
    LONG references = 1;
    State state = NEW;
    DWORD thread = GetCurrentThreadId();
    GUID set = {};
    std::vector<GUID> copies;
    std::vector<std::wstring> volumes;

    Components() { ++living; }

    HRESULT call(const wchar_t *name, State from, State to, Fault *fault = nullptr, const std::wstring &about = L"", bool good = true) {
        Fault found = fault_of(name);
        if (fault) *fault = found;
        HRESULT answer = found.answer;
        if (SUCCEEDED(answer) && GetCurrentThreadId() != thread) answer = RPC_E_WRONG_THREAD;
        if (SUCCEEDED(answer) && (state < from || state > to)) answer = VSS_E_BAD_STATE;
        if (SUCCEEDED(answer) && !good) answer = E_INVALIDARG;
        return tell(name, about, answer);
    }
    HRESULT step(const wchar_t *name, State from, State to, State then, const std::wstring &about = L"", bool good = true) {
        HRESULT answer = call(name, from, to, nullptr, about, good);
        if (SUCCEEDED(answer)) state = then;
        return answer;
    }
    HRESULT start(const wchar_t *name, State from, State to, State then, IVssAsync **operation) {
        Fault fault;
        *operation = nullptr;
        HRESULT answer = call(name, from, to, &fault);
        if (SUCCEEDED(answer)) *operation = new Async(name, fault, &state, then);
        return answer;
    }

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override { *object = nullptr; return E_NOINTERFACE; }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references; }
    ULONG STDMETHODCALLTYPE Release() override {
        ULONG left = --references;
        if (left == 0) { --living; tell(L"Release", L"", S_OK); delete this; }
        return left;
    }

    HRESULT STDMETHODCALLTYPE GetWriterComponentsCount(UINT *) UNUSED(GetWriterComponentsCount)
    HRESULT STDMETHODCALLTYPE GetWriterComponents(UINT, IVssWriterComponentsExt **) UNUSED(GetWriterComponents)
    HRESULT STDMETHODCALLTYPE InitializeForBackup(BSTR xml) override {
        return step(L"InitializeForBackup", NEW, NEW, INITIALIZED, L"", xml == nullptr);
    }
    HRESULT STDMETHODCALLTYPE SetBackupState(boolean select, boolean, VSS_BACKUP_TYPE type, boolean partial) override {
        return step(L"SetBackupState", CONTEXT, CONTEXT, BACKUP_STATE, L"", !select && type == VSS_BT_COPY && !partial);
    }
    HRESULT STDMETHODCALLTYPE InitializeForRestore(BSTR) UNUSED(InitializeForRestore)
    HRESULT STDMETHODCALLTYPE SetRestoreState(VSS_RESTORE_TYPE) UNUSED(SetRestoreState)
    HRESULT STDMETHODCALLTYPE GatherWriterMetadata(IVssAsync **operation) override {
        return start(L"GatherWriterMetadata", BACKUP_STATE, BACKUP_STATE, METADATA, operation);
    }
    HRESULT STDMETHODCALLTYPE GetWriterMetadataCount(UINT *count) override {
        *count = UINT(split(variable(L"HARDBACK_VSS_WRITERS"), L';').size());
        return call(L"GetWriterMetadataCount", METADATA, METADATA);
    }
    HRESULT STDMETHODCALLTYPE GetWriterMetadata(UINT at, VSS_ID *, IVssExamineWriterMetadata **metadata) override {
        *metadata = nullptr;
        HRESULT answer = call(L"GetWriterMetadata", METADATA, METADATA);
        auto parts = split(split(variable(L"HARDBACK_VSS_WRITERS"), L';').at(at), L',');
        if (SUCCEEDED(answer)) *metadata = new Metadata(parts.at(0));
        return answer;
    }
    HRESULT STDMETHODCALLTYPE FreeWriterMetadata() override { return call(L"FreeWriterMetadata", METADATA, METADATA); }
    HRESULT STDMETHODCALLTYPE AddComponent(VSS_ID, VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR) UNUSED(AddComponent)
    HRESULT STDMETHODCALLTYPE PrepareForBackup(IVssAsync **operation) override {
        return start(L"PrepareForBackup", ADDED, ADDED, PREPARED, operation);
    }
    HRESULT STDMETHODCALLTYPE AbortBackup() override { return step(L"AbortBackup", STARTED, PREPARED, ABORTED); }
    HRESULT STDMETHODCALLTYPE GatherWriterStatus(IVssAsync **operation) override {
        return start(L"GatherWriterStatus", METADATA, MADE, state, operation);
    }
    HRESULT STDMETHODCALLTYPE GetWriterStatusCount(UINT *count) override {
        *count = UINT(split(variable(L"HARDBACK_VSS_WRITERS"), L';').size());
        return call(L"GetWriterStatusCount", METADATA, MADE);
    }
    HRESULT STDMETHODCALLTYPE FreeWriterStatus() override { return call(L"FreeWriterStatus", METADATA, MADE); }
    HRESULT STDMETHODCALLTYPE GetWriterStatus(UINT at, VSS_ID *instance, VSS_ID *writer, BSTR *name, VSS_WRITER_STATE *status, HRESULT *failure) override {
        HRESULT answer = call(L"GetWriterStatus", METADATA, MADE);
        if (FAILED(answer)) return answer;
        auto parts = split(split(variable(L"HARDBACK_VSS_WRITERS"), L';').at(at), L',');
        CoCreateGuid(instance);
        CoCreateGuid(writer);
        *name = SysAllocString(parts.at(0).c_str());
        *status = VSS_WRITER_STATE(_wtoi(parts.at(1).c_str()));
        *failure = number(parts.at(2));
        return answer;
    }
    HRESULT STDMETHODCALLTYPE SetBackupSucceeded(VSS_ID, VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, boolean) UNUSED(SetBackupSucceeded)
    HRESULT STDMETHODCALLTYPE SetBackupOptions(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR) UNUSED(SetBackupOptions)
    HRESULT STDMETHODCALLTYPE SetSelectedForRestore(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, boolean) UNUSED(SetSelectedForRestore)
    HRESULT STDMETHODCALLTYPE SetRestoreOptions(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR) UNUSED(SetRestoreOptions)
    HRESULT STDMETHODCALLTYPE SetAdditionalRestores(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, boolean) UNUSED(SetAdditionalRestores)
    HRESULT STDMETHODCALLTYPE SetPreviousBackupStamp(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR) UNUSED(SetPreviousBackupStamp)
    HRESULT STDMETHODCALLTYPE SaveAsXML(BSTR *) UNUSED(SaveAsXML)
    HRESULT STDMETHODCALLTYPE BackupComplete(IVssAsync **operation) override {
        return start(L"BackupComplete", MADE, MADE, COMPLETED, operation);
    }
    HRESULT STDMETHODCALLTYPE AddAlternativeLocationMapping(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, boolean, LPCWSTR) UNUSED(AddAlternativeLocationMapping)
    HRESULT STDMETHODCALLTYPE AddRestoreSubcomponent(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, boolean) UNUSED(AddRestoreSubcomponent)
    HRESULT STDMETHODCALLTYPE SetFileRestoreStatus(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, VSS_FILE_RESTORE_STATUS) UNUSED(SetFileRestoreStatus)
    HRESULT STDMETHODCALLTYPE AddNewTarget(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, boolean, LPCWSTR) UNUSED(AddNewTarget)
    HRESULT STDMETHODCALLTYPE SetRangesFilePath(VSS_ID, VSS_COMPONENT_TYPE, LPCWSTR, LPCWSTR, UINT, LPCWSTR) UNUSED(SetRangesFilePath)
    HRESULT STDMETHODCALLTYPE PreRestore(IVssAsync **) UNUSED(PreRestore)
    HRESULT STDMETHODCALLTYPE PostRestore(IVssAsync **) UNUSED(PostRestore)
    HRESULT STDMETHODCALLTYPE SetContext(LONG context) override {
        return step(L"SetContext", INITIALIZED, INITIALIZED, CONTEXT, L"", context == VSS_CTX_BACKUP);
    }
    HRESULT STDMETHODCALLTYPE StartSnapshotSet(VSS_ID *id) override {
        HRESULT answer = step(L"StartSnapshotSet", METADATA, METADATA, STARTED);
        if (SUCCEEDED(answer)) { CoCreateGuid(&set); *id = set; }
        return answer;
    }
    HRESULT STDMETHODCALLTYPE AddToSnapshotSet(VSS_PWSZ volume, VSS_ID provider, VSS_ID *id) override {
        bool known = false;
        for (const std::wstring &other : volumes) known = known || other == volume;
        size_t length = wcslen(volume);
        bool good = length > 0 && volume[length - 1] == L'\\' && IsEqualGUID(provider, GUID_NULL) && !known;
        HRESULT answer = step(L"AddToSnapshotSet", STARTED, ADDED, ADDED, volume, good);
        if (FAILED(answer)) return answer;
        CoCreateGuid(id);
        copies.push_back(*id);
        volumes.push_back(volume);
        return answer;
    }
    HRESULT STDMETHODCALLTYPE DoSnapshotSet(IVssAsync **operation) override {
        return start(L"DoSnapshotSet", PREPARED, PREPARED, MADE, operation);
    }
    HRESULT STDMETHODCALLTYPE DeleteSnapshots(VSS_ID id, VSS_OBJECT_TYPE type, WINBOOL force, LONG *deleted, VSS_ID *) override {
        bool good = IsEqualGUID(id, set) && type == VSS_OBJECT_SNAPSHOT_SET && force;
        HRESULT answer = call(L"DeleteSnapshots", MADE, COMPLETED, nullptr, L"", good);
        if (SUCCEEDED(answer)) *deleted = LONG(copies.size());
        return answer;
    }
    HRESULT STDMETHODCALLTYPE ImportSnapshots(IVssAsync **) UNUSED(ImportSnapshots)
    HRESULT STDMETHODCALLTYPE BreakSnapshotSet(VSS_ID) UNUSED(BreakSnapshotSet)
    HRESULT STDMETHODCALLTYPE GetSnapshotProperties(VSS_ID id, VSS_SNAPSHOT_PROP *properties) override {
        size_t at = 0;
        while (at < copies.size() && !IsEqualGUID(copies[at], id)) ++at;
        HRESULT answer = call(L"GetSnapshotProperties", MADE, MADE, nullptr, L"", at < copies.size());
        if (FAILED(answer)) return answer;
        std::wstring device = variable(L"HARDBACK_VSS_DEVICE");
        if (device.empty()) device = L"\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy" + std::to_wstring(at + 1);
        size_t bytes = (device.size() + 1) * sizeof(wchar_t);
        // Where something else is read than what stands here, it is seen.
        memset(properties, 0xA5, sizeof *properties);
        properties->m_SnapshotId = id;
        properties->m_pwszSnapshotDeviceObject = VSS_PWSZ(CoTaskMemAlloc(bytes));
        memcpy(properties->m_pwszSnapshotDeviceObject, device.c_str(), bytes);
        properties->m_eStatus = VSS_SS_CREATED;
        ++living;
        return answer;
    }
    HRESULT STDMETHODCALLTYPE Query(VSS_ID, VSS_OBJECT_TYPE, VSS_OBJECT_TYPE, IVssEnumObject **) UNUSED(Query)
    HRESULT STDMETHODCALLTYPE IsVolumeSupported(VSS_ID provider, VSS_PWSZ volume, WINBOOL *supported) override {
        size_t length = wcslen(volume);
        bool good = length > 0 && volume[length - 1] == L'\\' && IsEqualGUID(provider, GUID_NULL);
        HRESULT answer = call(L"IsVolumeSupported", METADATA, METADATA, nullptr, volume, good);
        *supported = answer == S_OK;
        return FAILED(answer) ? answer : S_OK;
    }
    HRESULT STDMETHODCALLTYPE DisableWriterClasses(const VSS_ID *, UINT) UNUSED(DisableWriterClasses)
    HRESULT STDMETHODCALLTYPE EnableWriterClasses(const VSS_ID *, UINT) UNUSED(EnableWriterClasses)
    HRESULT STDMETHODCALLTYPE DisableWriterInstances(const VSS_ID *, UINT) UNUSED(DisableWriterInstances)
    HRESULT STDMETHODCALLTYPE ExposeSnapshot(VSS_ID, VSS_PWSZ, LONG, VSS_PWSZ, VSS_PWSZ *) UNUSED(ExposeSnapshot)
    HRESULT STDMETHODCALLTYPE RevertToSnapshot(VSS_ID, WINBOOL) UNUSED(RevertToSnapshot)
    HRESULT STDMETHODCALLTYPE QueryRevertStatus(VSS_PWSZ, IVssAsync **) UNUSED(QueryRevertStatus)
};

}  // namespace

extern "C" {

__declspec(dllexport) HRESULT STDAPICALLTYPE CreateVssBackupComponentsInternal(IVssBackupComponents **components) {
    *components = nullptr;
    HRESULT answer = fault_of(L"CreateVssBackupComponents").answer;
    APTTYPE type;
    APTTYPEQUALIFIER qualifier;
    if (SUCCEEDED(answer)) answer = CoGetApartmentType(&type, &qualifier);
    if (SUCCEEDED(answer)) *components = new Components;
    return tell(L"CreateVssBackupComponents", L"", answer);
}

__declspec(dllexport) void APIENTRY VssFreeSnapshotPropertiesInternal(VSS_SNAPSHOT_PROP *properties) {
    CoTaskMemFree(properties->m_pwszSnapshotDeviceObject);
    properties->m_pwszSnapshotDeviceObject = nullptr;
    --living;
    tell(L"VssFreeSnapshotProperties", L"", S_OK);
}

BOOL WINAPI DllMain(HINSTANCE, DWORD reason, LPVOID) {
    if (reason == DLL_PROCESS_ATTACH) InitializeCriticalSection(&lock);
    return TRUE;
}

}
