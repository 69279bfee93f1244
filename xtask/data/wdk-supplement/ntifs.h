/* mingw-w64 has these three as inline functions. ntoskrnl.exe exports them, and bindgen sees only functions with external
 * linkage. Own text; it stands first on the include path of a Linux build. */
#pragma once
#define KeGetCurrentIrql mingw_KeGetCurrentIrql
#define KfRaiseIrql mingw_KfRaiseIrql
#define KeLowerIrql mingw_KeLowerIrql
#include_next <ntifs.h>
#undef KeGetCurrentIrql
#undef KfRaiseIrql
#undef KeLowerIrql
NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
