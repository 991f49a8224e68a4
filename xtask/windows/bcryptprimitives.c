/*
 * A stand-in for bcryptprimitives.dll, which Rust's standard library imports
 * and Wine before 9 lacks (its programs end with exit status 53). It has the
 * one function that is asked for and passes it on to Wine's own generator.
 */
#include <windows.h>

/* Documented as RtlGenRandom; advapi32 exports it under this name only. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

#define CHUNK_BYTES_MAX ((SIZE_T)0x40000000)

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG chunk = (ULONG)(size < CHUNK_BYTES_MAX ? size : CHUNK_BYTES_MAX);
        if (!SystemFunction036(data, chunk))
            return FALSE;
        data += chunk;
        size -= chunk;
    }
    return TRUE;
}
