// Package space is what several people write together on several devices: people,
// devices, roles and invites, and collections of content, such as files.
//
// A space is one encrypted autobase. Its values are operations, which Apply turns into
// one bee: the state. What an operation may do is decided there, from who signed it: the
// log it is in belongs to a device, which proved to belong to a person, who has a role.
// Connections decide nothing. One append makes one version of the state, and the journal
// in the state lists them, so that every earlier state can be read.
//
// Invariants:
//   - The state is a function of the operations in their order, on all programs that
//     run the space: what a program does not understand it either skips like all
//     others, or it stops.
//   - Who was removed changes nothing that comes after the removal.
//   - A space has an owner.
//
// A [Library] is all spaces of a device. The operations, the state and the policies are
// described in docs/formats/space.md.
package space
