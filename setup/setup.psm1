# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What install.ps1 and uninstall.ps1 share: the log, the facts about this Windows, and the two tables.
# decisions.tsv says what is done for which facts, the first row that fits; changes.tsv says what is taken back.
# For Windows PowerShell 5.1, which every Windows 10 and Server 2016 has.

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$script:Folder = $PSScriptRoot
$script:LogPath = $null

# Services and INF files of this project, and the INF names under which other vendors ship their Xen drivers.
$script:OwnInfs = @('xenbus.inf', 'xenvbd.inf', 'xennet.inf')
$script:XenInfs = @('xenbus.inf', 'xenvbd.inf', 'xenvif.inf', 'xennet.inf', 'xeniface.inf', 'xenvkbd.inf', 'xenhid.inf', 'xencons.inf')

function Start-Log([string] $Path) {
    $script:LogPath = $Path
    Write-Log "$(Get-Date -Format o) started on $([Environment]::OSVersion.VersionString)"
}

function Write-Log([string] $Line) {
    if ($script:LogPath) { Add-Content -LiteralPath $script:LogPath -Value $Line -Encoding UTF8 }
    Write-Verbose $Line
}

function Write-Message([string] $Line) {
    Write-Log $Line
    Write-Host $Line
}

# Runs a program, logs its command line and output, and returns its exit code.
function Invoke-Program([string] $Program, [string[]] $Arguments) {
    Write-Log "> $Program $($Arguments -join ' ')"
    $output = & $Program @Arguments 2>&1
    $code = $LASTEXITCODE
    foreach ($line in $output) { Write-Log "  $line" }
    Write-Log "  exit code $code"
    return $code
}

function Read-Table([string] $Name) {
    Import-Csv -LiteralPath (Join-Path $script:Folder $Name) -Delimiter "`t"
}

# The first row of the script's decisions whose conditions all hold.
function Get-Decision([string] $Script, [hashtable] $Facts) {
    foreach ($name in ($Facts.Keys | Sort-Object)) { Write-Log "fact $name=$($Facts[$name])" }
    foreach ($row in (Read-Table 'decisions.tsv')) {
        if ($row.script -ne $Script) { continue }
        $fits = $true
        foreach ($condition in ($row.when -split ';')) {
            $name, $value = $condition -split '=', 2
            if (-not $Facts.ContainsKey($name)) { throw "decisions.tsv, row $($row.id): no fact is named '$name'" }
            if ($Facts[$name] -ne $value) { $fits = $false }
        }
        if ($fits) {
            Write-Log "decision $($row.id): $($row.do)"
            return $row
        }
    }
    throw "decisions.tsv has no row for these facts; the log $script:LogPath lists them"
}

# Says what was decided, and asks unless nobody is there to answer. $null: go on; otherwise the exit code to end with.
function Confirm-Decision($Decision, [switch] $Unattended) {
    Write-Message $Decision.message
    if ($Decision.do -eq 'refuse') { return 1 }
    if ($Decision.do -eq 'nothing') { return 0 }
    if (-not $Unattended) {
        $answer = Read-Host 'Go on? (y/n)'
        if ($answer -notmatch '^[yY]') { Write-Message 'Nothing was changed.'; return 1 }
    }
    return $null
}

# The [Strings] and [Version] entries that the scripts need of an INF of this package.
function Get-InfValue([string] $Inf, [string] $Name) {
    foreach ($line in (Get-Content -LiteralPath (Join-Path $script:Folder $Inf))) {
        if ($line -match "^\s*$Name\s*=\s*`"?([^`";]*)`"?") { return $Matches[1].Trim() }
    }
    throw "$Inf has no line '$Name = ...'"
}

function Get-Provider {
    $provider = Get-InfValue 'xenbus.inf' 'Provider'
    if ($provider -match '^%(.+)%$') { $provider = Get-InfValue 'xenbus.inf' $Matches[1] }
    return $provider
}

function Get-PackageVersion {
    [version] ((Get-InfValue 'xenbus.inf' 'DriverVer') -split ',')[1].Trim()
}

# Xen's driver packages in the driver store: ours and those of others.
function Get-StoredPackage {
    foreach ($package in @(Get-WindowsDriver -Online)) {
        $inf = Split-Path -Leaf $package.OriginalFileName
        if ($script:XenInfs -notcontains $inf) { continue }
        [pscustomobject] @{
            Inf       = $inf.ToLowerInvariant()
            Published = Split-Path -Leaf $package.Driver
            Provider  = $package.ProviderName
            Version   = [version] $package.Version
            Own       = ($script:OwnInfs -contains $inf) -and ($package.ProviderName -eq (Get-Provider))
        }
    }
}

# The Xen devices that have a driver or had one; devices that are not there at the moment too.
function Get-XenDevice {
    Get-PnpDevice | Where-Object { $_.InstanceId -match '^(PCI\\VEN_5853&|XENBUS\\|XENVIF\\|XENVKBD\\|XENHID\\)' }
}

function Get-DeviceProperty([string] $InstanceId, [string] $Key) {
    $property = Get-PnpDeviceProperty -InstanceId $InstanceId -KeyName $Key -ErrorAction SilentlyContinue
    if ($property) { return $property.Data }
    return $null
}

function Get-FactAdministrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    if ($principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { 'yes' } else { 'no' }
}

function Get-FactWindows {
    $architecture = $env:PROCESSOR_ARCHITEW6432
    if (-not $architecture) { $architecture = $env:PROCESSOR_ARCHITECTURE }
    if ($architecture -ne 'AMD64') { return 'other-architecture' }
    $version = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    if ([int] $version.CurrentBuildNumber -lt 14393) { 'old' } else { 'supported' }
}

function Get-FactSafeMode {
    if (Test-Path 'HKLM:\SYSTEM\CurrentControlSet\Control\SafeBoot\Option') { 'yes' } else { 'no' }
}

# SHA256SUMS names every file of the package; each must be there and have that hash.
function Get-FactPackage {
    $sums = Join-Path $script:Folder 'SHA256SUMS'
    if (-not (Test-Path -LiteralPath $sums)) { return 'damaged' }
    foreach ($line in (Get-Content -LiteralPath $sums)) {
        if ($line -notmatch '^([0-9a-fA-F]{64}) [ *](.+)$') { return 'damaged' }
        $hash, $name = $Matches[1], $Matches[2]
        $file = Join-Path $script:Folder $name
        if (-not (Test-Path -LiteralPath $file)) { Write-Log "missing: $name"; return 'damaged' }
        if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $hash) { Write-Log "differs: $name"; return 'damaged' }
    }
    'whole'
}

# trusted: signed by Microsoft's hardware programme (attestation or HLK), which is what Windows asks of kernel drivers.
# test: signed by anybody else. none: not signed, or the signature is of another file.
function Get-FactSignature {
    $worst = 'trusted'
    foreach ($file in (Get-ChildItem -LiteralPath $script:Folder -Filter '*.sys')) {
        $signature = Get-AuthenticodeSignature -LiteralPath $file.FullName
        Write-Log "signature of $($file.Name): $($signature.Status)"
        if ((-not $signature.SignerCertificate) -or ($signature.Status -eq 'HashMismatch')) { return 'none' }
        $publisher = $signature.SignerCertificate.Subject -match '^CN=Microsoft Windows Hardware Compatibility Publisher,'
        if (-not ($publisher -and ($signature.Status -eq 'Valid'))) { $worst = 'test' }
    }
    $worst
}

function Get-FactTestSigning {
    $options = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
    if (" $options " -match '\sTESTSIGNING\s') { 'on' } else { 'off' }
}

# bound: a Xen device runs a driver of another provider, or a filter of another vendor's stack is in a class key.
# staged: such a package is in the driver store. The last two functions' results tell ours from others by the provider.
function Get-FactForeign {
    $own = Get-Provider
    foreach ($device in (Get-XenDevice)) {
        $provider = Get-DeviceProperty $device.InstanceId 'DEVPKEY_Device_DriverProvider'
        if ($provider -and ($provider -ne $own) -and ($provider -ne 'Microsoft')) {
            Write-Log "another vendor's driver: $($device.InstanceId) ($provider)"
            return 'bound'
        }
    }
    foreach ($class in '{4d36e97d-e325-11ce-bfc1-08002be10318}', '{4d36e96a-e325-11ce-bfc1-08002be10318}') {
        $key = Get-ItemProperty "HKLM:\SYSTEM\CurrentControlSet\Control\Class\$class"
        foreach ($value in 'UpperFilters', 'LowerFilters') {
            if (-not ($key.PSObject.Properties.Name -contains $value)) { continue }
            foreach ($filter in $key.$value) {
                if (@('xenfilt', 'scsifilt') -contains $filter) {
                    Write-Log "another vendor's filter: class $class, $value, $filter"
                    return 'bound'
                }
            }
        }
    }
    foreach ($package in (Get-StoredPackage)) {
        if (-not $package.Own) {
            Write-Log "another vendor's package: $($package.Published), $($package.Inf) of $($package.Provider)"
            return 'staged'
        }
    }
    'none'
}

function Get-FactPlatformDevice {
    $found = Get-PnpDevice -PresentOnly | Where-Object { $_.InstanceId -match '^PCI\\VEN_5853&DEV_(0001|0002|C000)&' }
    if ($found) { 'present' } else { 'absent' }
}

# The newest version of ours in the driver store, against the package's.
function Get-FactInstalledVersion {
    $own = @(Get-StoredPackage | Where-Object { $_.Own -and ($_.Inf -eq 'xenbus.inf') } | Sort-Object Version)
    if ($own.Count -eq 0) { return 'none' }
    $installed, $ours = $own[-1].Version, (Get-PackageVersion)
    Write-Log "installed $installed, package $ours"
    if ($installed -lt $ours) { 'older' } elseif ($installed -gt $ours) { 'newer' } else { 'same' }
}

function Get-FactInstalled {
    if (@(Get-StoredPackage | Where-Object { $_.Own }).Count -gt 0) { 'present' } else { 'none' }
}

# A device of ours that says it needs a restart.
function Get-FactRestart {
    foreach ($device in (Get-XenDevice)) {
        if (Get-DeviceProperty $device.InstanceId 'DEVPKEY_Device_IsRebootRequired') { return 'pending' }
        if ((Get-DeviceProperty $device.InstanceId 'DEVPKEY_Device_ProblemCode') -eq 14) { return 'pending' }
    }
    'none'
}

# Keys of services of ours that were left behind without a package in the driver store.
function Get-FactTraces {
    foreach ($change in (Read-Table 'changes.tsv')) {
        if (($change.script -split ',') -notcontains 'uninstall') { continue }
        if (@('delete-service', 'delete-key') -notcontains $change.kind) { continue }
        if ($change.target -match 'StartOverride$') { continue }
        $key = $change.target
        if ($change.kind -eq 'delete-service') { $key = "Services\$key" }
        if (Test-Path -LiteralPath "HKLM:\SYSTEM\CurrentControlSet\$key") { return 'some' }
    }
    'none'
}

$cfgmgr = @'
using System;
using System.Runtime.InteropServices;

// cfgmgr32.h: the sequence that the page of CM_Uninstall_DevNode asks for.
public static class XenSetupDevice
{
    [DllImport("cfgmgr32.dll", CharSet = CharSet.Unicode)]
    static extern int CM_Locate_DevNodeW(out uint device, string id, uint flags);
    [DllImport("cfgmgr32.dll")]
    static extern int CM_Get_DevNode_Status(out uint status, out uint problem, uint device, uint flags);
    [DllImport("cfgmgr32.dll", CharSet = CharSet.Unicode)]
    static extern int CM_Query_And_Remove_SubTreeW(uint device, IntPtr veto, IntPtr name, uint length, uint flags);
    [DllImport("cfgmgr32.dll")]
    static extern int CM_Uninstall_DevNode(uint device, uint flags);

    const uint LocatePhantom = 1;
    const uint RemoveNoRestart = 2;

    // 0 (CR_SUCCESS) or the first CONFIGRET that is not.
    public static int Uninstall(string id)
    {
        uint device, status, problem;
        int result = CM_Locate_DevNodeW(out device, id, LocatePhantom);
        if (result != 0) return result;
        if (CM_Get_DevNode_Status(out status, out problem, device, 0) == 0)
        {
            result = CM_Query_And_Remove_SubTreeW(device, IntPtr.Zero, IntPtr.Zero, 0, RemoveNoRestart);
            if (result != 0) return result;
        }
        return CM_Uninstall_DevNode(device, 0);
    }
}
'@

# Does one row of changes.tsv; returns $true if Windows has to restart for it.
function Invoke-Change($Change) {
    $key = "HKLM:\SYSTEM\CurrentControlSet\$($Change.target)"
    Write-Log "change: $($Change.kind) $($Change.target) $($Change.name) $($Change.data)"
    switch ($Change.kind) {
        'set-dword' {
            if (-not (Test-Path -LiteralPath $key)) { New-Item -Path $key -Force | Out-Null }
            Set-ItemProperty -LiteralPath $key -Name $Change.name -Value ([int] $Change.data) -Type DWord
        }
        'set-dword-if-there' {
            if (Test-Path -LiteralPath $key) {
                Set-ItemProperty -LiteralPath $key -Name $Change.name -Value ([int] $Change.data) -Type DWord
            }
        }
        'delete-key' {
            if (Test-Path -LiteralPath $key) { Remove-Item -LiteralPath $key -Recurse -Force }
        }
        'remove-devices' {
            if (-not ('XenSetupDevice' -as [type])) { Add-Type -TypeDefinition $cfgmgr }
            $restart = $false
            foreach ($device in @(Get-PnpDevice | Where-Object { $_.InstanceId -like $Change.target })) {
                $result = [XenSetupDevice]::Uninstall($device.InstanceId)
                Write-Log "  $($device.InstanceId): CONFIGRET $result"
                # A device in use, as the boot disk's adapter, goes with its package at the restart.
                if ($result -ne 0) { $restart = $true }
            }
            return $restart
        }
        'delete-package' {
            $restart = $false
            foreach ($package in @(Get-StoredPackage | Where-Object { $_.Own -and ($_.Inf -eq $Change.target) })) {
                $code = Invoke-Program 'pnputil.exe' @('/delete-driver', $package.Published, '/uninstall', '/force')
                if (@(3010, 1641) -contains $code) { $restart = $true }
                elseif ($code -ne 0) { throw "pnputil /delete-driver $($package.Published) failed with exit code $code; its output is in $script:LogPath" }
            }
            return $restart
        }
        'delete-service' {
            if (-not (Test-Path -LiteralPath "HKLM:\SYSTEM\CurrentControlSet\Services\$($Change.target)")) { return $false }
            # 1072: marked for deletion already; a driver that runs goes at the restart.
            $code = Invoke-Program 'sc.exe' @('delete', $Change.target)
            if (@(0, 1072) -notcontains $code) { throw "sc delete $($Change.target) failed with exit code $code; its output is in $script:LogPath" }
            return $true
        }
        default { throw "changes.tsv: no change is of the kind '$($Change.kind)'" }
    }
    return $false
}

Export-ModuleMember -Function Start-Log, Write-Log, Write-Message, Invoke-Program, Read-Table, Get-Decision, Confirm-Decision, Invoke-Change, Get-Fact*
