//! One subject a file; each test is a sentence about it.

mod answers;
mod commands;
mod configuration;
mod connections;
mod control;
mod deaths;
mod file_wrapper;
mod fork_servers;
mod forking;
mod heartbeats;
mod interpreters;
mod listening;
mod loading;
mod logs;
mod notifying;
mod orders;
mod reloading;
mod requests;
mod scripts;
mod slow_clients;
mod sources;
mod starting;
mod stopping;
mod uploads;
mod validated;
mod wsgi;
