@echo off
rem SPDX-License-Identifier: MIT OR Apache-2.0
rem Makes a guest boot again that does not since the Xen drivers were installed, updated or removed. Run it from WinPE or
rem the recovery environment's command prompt. It does the rows of changes.tsv that are for "recover", in the registry of
rem the Windows that it is given: emulated disks and network cards stay, Windows' own disk drivers start at boot, and the
rem bus driver, without which no other of the drivers starts, does not. To use the drivers again run install.ps1 after the
rem guest has booted (uninstall.ps1 first).
setlocal EnableExtensions DisableDelayedExpansion
if "%~1"=="" goto usage
if "%~1"=="/?" goto usage
set "WINDOWS=%~1"
if "%WINDOWS:~-1%"=="\" set "WINDOWS=%WINDOWS:~0,-1%"
set "HIVE=%WINDOWS%\Windows\System32\config\SYSTEM"
set "TABLE=%~dp0changes.tsv"
if not exist "%TABLE%" goto no_table
if not exist "%HIVE%" goto no_hive
reg load HKLM\XenRecover "%HIVE%" >nul
if errorlevel 1 goto no_load

set "CURRENT="
for /f "tokens=3" %%v in ('reg query HKLM\XenRecover\Select /v Current') do set /a "CURRENT=%%v"
if not defined CURRENT goto no_select
set "SET=00%CURRENT%"
set "SET=HKLM\XenRecover\ControlSet%SET:~-3%"
reg query "%SET%" >nul 2>nul
if errorlevel 1 goto no_select

set FAILED=0
rem The columns of changes.tsv: script, kind, target, name, data, serves, why; a tab stands between them.
for /f "usebackq skip=1 tokens=1-5 delims=	" %%a in ("%TABLE%") do call :change "%%a" "%%b" "%%c" "%%d" "%%e"
reg unload HKLM\XenRecover >nul
if errorlevel 1 set FAILED=1
if "%FAILED%"=="1" goto failed
echo Done. Restart the guest; it boots with its emulated disks and network cards.
exit /b 0

:change
set "WHO=,%~1,"
if "%WHO:,recover,=%"=="%WHO%" exit /b 0
set "KEY=%SET%\%~3"
if "%~2"=="set-dword" goto set_dword
if "%~2"=="set-dword-if-there" goto set_dword_if_there
if "%~2"=="delete-key" goto delete_key
echo changes.tsv: no change of the kind %~2 is possible here.
set FAILED=1
exit /b 1

:set_dword_if_there
reg query "%KEY%" >nul 2>nul
if errorlevel 1 exit /b 0
:set_dword
echo %~3: %~4 = %~5
reg add "%KEY%" /v "%~4" /t REG_DWORD /d %~5 /f >nul
if errorlevel 1 set FAILED=1
exit /b 0

:delete_key
reg query "%KEY%" >nul 2>nul
if errorlevel 1 exit /b 0
echo %~3: deleted
reg delete "%KEY%" /f >nul
if errorlevel 1 set FAILED=1
exit /b 0

:usage
echo Usage: recover.cmd DRIVE
echo   DRIVE is where the guest's Windows is, as C: or D:; WinPE often gives it another letter than Windows does.
exit /b 1
:no_table
echo %TABLE% is missing: run recover.cmd from the folder of the driver package.
exit /b 1
:no_hive
echo %HIVE% is missing: %~1 is not where a Windows is. Try the other drive letters.
exit /b 1
:no_load
echo %HIVE% cannot be loaded: it is in use (is this the Windows that runs?), or damaged.
exit /b 1
:no_select
reg unload HKLM\XenRecover >nul
echo %HIVE% does not say which control set is the current one. Nothing was changed.
exit /b 1
:failed
echo Not everything could be changed: see the messages above. It can be run again.
exit /b 1
