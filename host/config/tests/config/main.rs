//! The tests of the configuration, through its public face.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod document;
#[cfg(test)]
mod render;
#[cfg(test)]
mod robust;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod units;
