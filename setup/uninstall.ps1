# SPDX-License-Identifier: MIT OR Apache-2.0
<#
.SYNOPSIS
Removes the Xen drivers of this project, so that the next boot is one with emulated disks and network cards.

.DESCRIPTION
changes.tsv lists what is taken back, in this order: the marks by which emulated devices go first, so that a guest that
loses power in the middle boots. It never restarts Windows; exit code 3010 says that a restart is due.

.PARAMETER Unattended
Asks nothing.

.PARAMETER Log
The log file; by default in the folder for temporary files.

.OUTPUTS
Exit code 0: done, or nothing to do. 3010: done, restart Windows. 1: refused or failed; the script can be run again.
#>
param(
    [switch] $Unattended,
    [string] $Log = (Join-Path $env:TEMP 'xen-drivers-uninstall.log')
)

Import-Module (Join-Path $PSScriptRoot 'setup.psm1') -Force
Start-Log $Log

try {
    $facts = @{ 'administrator' = Get-FactAdministrator }
    if ($facts['administrator'] -eq 'yes') {
        $facts['installed'] = Get-FactInstalled
        $facts['foreign'] = Get-FactForeign
        $facts['traces'] = Get-FactTraces
    }
    $decision = Get-Decision 'uninstall' $facts
    $end = Confirm-Decision $decision -Unattended:$Unattended
    if ($null -ne $end) { exit $end }

    $restart = $false
    foreach ($change in (Read-Table 'changes.tsv')) {
        if (($change.script -split ',') -notcontains 'uninstall') { continue }
        if (Invoke-Change $change) { $restart = $true }
    }
    if ($restart) { Write-Message "Done. Restart Windows when it suits you. The log is $Log."; exit 3010 }
    Write-Message "Done. The log is $Log."
    exit 0
}
catch {
    Write-Message "Failed: $($_.Exception.Message) The log is $Log. The script can be run again."
    exit 1
}
