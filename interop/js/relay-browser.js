'use strict'
// A peer in a real browser: Chromium without a window, with the page of browser/page.js.
//
//   node relay-browser.js [path of chromium]
//
// Says {event: 'ready', version} when the page is loaded. The page comes from this program, on 127.0.0.1; what the
// browser writes goes to the current folder.
const http = require('http')
const path = require('path')
const esbuild = require('esbuild')
const { chromium } = require('playwright-core')
const { say, serve } = require('./lib/commands')

const executablePath = process.argv[2] || '/usr/bin/chromium'
const profile = path.resolve('profile')
const timeout = 100000 // ms to start and to load the page, on a busy machine

async function bundle () {
  const built = await esbuild.build({
    entryPoints: [path.join(__dirname, 'browser', 'page.js')],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    define: { global: 'globalThis' },
    alias: {
      'rabin-native': path.join(__dirname, 'browser', 'none.js'), // for mirrors to disks
      'noise-curve-ed': path.join(__dirname, 'browser', 'curve.js')
    },
    write: false,
    logLevel: 'error'
  })
  return built.outputFiles[0].contents
}

async function main () {
  const script = await bundle()
  const server = http.createServer((req, res) => {
    const js = req.url === '/page.js'
    res.setHeader('content-type', js ? 'text/javascript' : 'text/html; charset=utf-8')
    res.end(js ? script : '<!doctype html><title>peer</title><script src="/page.js"></script>')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    timeout,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-proxy-server']
  })
  const page = await context.newPage()
  page.on('console', (m) => console.error('console:', m.text()))
  page.on('pageerror', (err) => console.error('page:', err.stack || err.message))
  await page.goto(`http://127.0.0.1:${server.address().port}/`, { timeout })
  serve({
    // the arguments and the result of fetchFile in browser/page.js
    fetch: (o) => page.evaluate((args) => window.fetchFile(args), o)
  }, () => context.close())
  say({ event: 'ready', version: context.browser() ? context.browser().version() : await page.evaluate(() => navigator.userAgent) })
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
