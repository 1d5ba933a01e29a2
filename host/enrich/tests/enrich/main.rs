//! Enrichment from the outside: files in, columns and facts out.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod columns;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod maxmind;
#[cfg(test)]
mod mmdb;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod reload;
