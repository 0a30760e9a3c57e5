// Package service is what a node has to do with the service manager of the system:
// to tell systemd that it is ready and alive ([Notifier]), and to be installed as a
// service there or with launchd ([Unit]).
package service
