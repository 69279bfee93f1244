# SPDX-License-Identifier: MIT OR Apache-2.0
<#
.SYNOPSIS
Installs the Xen drivers of this folder with pnputil.

.DESCRIPTION
Looks at this Windows first and changes nothing unless the installation can go through: decisions.tsv lists what it looks
at and what follows. It never restarts Windows; exit code 3010 says that a restart is due.

.PARAMETER Unattended
Asks nothing.

.PARAMETER Log
The log file; by default in the folder for temporary files.

.OUTPUTS
Exit code 0: done, or nothing to do. 3010: done, restart Windows. 1: refused or failed; nothing is half done that pnputil
did not say so of in the log.
#>
param(
    [switch] $Unattended,
    [string] $Log = (Join-Path $env:TEMP 'xen-drivers-install.log')
)

Import-Module (Join-Path $PSScriptRoot 'setup.psm1') -Force
Start-Log $Log

try {
    $facts = @{ 'administrator' = Get-FactAdministrator; 'windows' = Get-FactWindows }
    if (($facts['administrator'] -eq 'yes') -and ($facts['windows'] -eq 'supported')) {
        $facts['safe-mode'] = Get-FactSafeMode
        $facts['package'] = Get-FactPackage
        $facts['signature'] = Get-FactSignature
        $facts['test-signing'] = Get-FactTestSigning
        $facts['foreign'] = Get-FactForeign
        $facts['platform-device'] = Get-FactPlatformDevice
        $facts['installed'] = Get-FactInstalledVersion
        $facts['restart'] = Get-FactRestart
    }
    $decision = Get-Decision 'install' $facts
    $end = Confirm-Decision $decision -Unattended:$Unattended
    if ($null -ne $end) { exit $end }

    $arguments = @('/add-driver', (Join-Path $PSScriptRoot '*.inf'))
    if ($decision.do -eq 'install') { $arguments += '/install' }
    $code = Invoke-Program 'pnputil.exe' $arguments
    switch ($code) {
        0 { Write-Message "Done. The log is $Log."; exit 0 }
        # ERROR_NO_MORE_ITEMS: the packages are in the store, and no device asks for one that it does not have yet.
        259 { Write-Message "Done. The log is $Log."; exit 0 }
        3010 { Write-Message "Done. Restart Windows when it suits you. The log is $Log."; exit 3010 }
        default { Write-Message "pnputil failed with exit code $code; its output is in $Log."; exit 1 }
    }
}
catch {
    Write-Message "Failed: $($_.Exception.Message) The log is $Log."
    exit 1
}
