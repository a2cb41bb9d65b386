//! The conditions and the verdict of a rule of another program, as far as they decide
//! about the packets of containers.

/// The verdict of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// drop, reject
    Drop,
    Accept,
    /// The packet goes on after the jump to this chain.
    Return,
    /// The packet goes through another chain of the table, and comes back if that chain
    /// neither accepts nor drops it.
    Jump(String),
    /// Like a jump, but the packet comes back to the rule after the last jump.
    Goto(String),
    /// The one that a map has for the packet, which is not read: `ct state vmap`.
    OfMap,
}

/// A condition on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// A property of the packet begins with this value, or does not. The value for a
    /// link is its name with a zero at the end, or the beginning of several names.
    Value { property: Property, is_equal: bool, value: Vec<u8> },
    /// A property of the packet is in a set or in a range, or is not. They are not read.
    InSet(Property),
    /// The state of the connection.
    Connection,
    /// Anything else.
    Other,
}

/// A property of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    /// The name of the link on which it arrives.
    InLink,
    /// The name of the link through which it leaves.
    OutLink,
    /// TCP, UDP or another.
    Protocol,
    /// Its destination port.
    Port,
}
