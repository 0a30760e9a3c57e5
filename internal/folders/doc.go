// Package folders remembers which folders of this machine are kept equal with which
// spaces, and keeps them so while it runs.
//
// A [Library] has one record for each folder in a log of its own, and a folder of the
// data folder for what foldersync knows of it. No folder lies in another one, nor in
// the data folder. Forgetting a folder removes nothing on disk but that knowledge.
package folders
