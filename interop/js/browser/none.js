'use strict'
// Stands for native code that a browser does not have and the page does not use.
module.exports = {}
