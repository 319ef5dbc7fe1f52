// Package inputfile reads the files that an operator names: the configuration,
// keys. A path may lead to anything, and what was a file at the start may be
// something else at a reload, which nobody watches. So reading one neither waits
// for ever nor takes memory without end: it ends with the contents, of at most
// MaxBytes, or with an error in words for whoever wrote the path.
//
// What has no end or is not there to be read is refused before it is opened,
// since to open a device may do something already. Pipes, which shells make of
// <(...) and of standard input, give what they hold once: ReadFirst takes them
// too, and waits some seconds for their end.
//
// A file system that does not answer is waited for, as with any other read.
package inputfile
