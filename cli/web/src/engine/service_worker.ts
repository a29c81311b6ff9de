/**
 * Service worker of a static site.
 *
 * It adds the headers that isolate the page from others, which threads need and plain hosts do not send;
 * and it keeps what was fetched, so that a site that was used once works without its server.
 */

interface Fetching extends Event {
  request: Request
  respondWith(answer: Promise<Response>): void
}
interface Lasting extends Event {
  waitUntil(work: Promise<unknown>): void
}
interface Scope {
  location: Location
  registration: { scope: string }
  skipWaiting(): Promise<void>
  clients: { claim(): Promise<void> }
  addEventListener(kind: 'install' | 'activate', listen: (event: Lasting) => void): void
  addEventListener(kind: 'fetch', listen: (event: Fetching) => void): void
}

const scope = self as unknown as Scope
const PREFIX = 'unifmir-site-'
/** Of one site in one state: what another state left is deleted. */
const KEPT = `${PREFIX}${scope.registration.scope}-${new URL(scope.location.href).searchParams.get('site')}`

scope.addEventListener('install', (event) => event.waitUntil(scope.skipWaiting()))

scope.addEventListener('activate', (event) =>
  event.waitUntil(
    (async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith(`${PREFIX}${scope.registration.scope}-`) && name !== KEPT)
      await Promise.all(old.map((name) => caches.delete(name)))
      await scope.clients.claim()
    })(),
  ),
)

scope.addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method !== 'GET' || !request.url.startsWith(scope.registration.scope)) return
  event.respondWith(answered(request))
})

async function answered(request: Request): Promise<Response> {
  const kept = await caches.open(KEPT)
  const known = await kept.match(request, { ignoreVary: true })
  // Files that are named by their content never change; the others are asked for anew.
  const lasting = /\/(assets|models|engine|samples|pictures)\//.test(new URL(request.url).pathname)
  if (known && lasting) return isolatedAnswer(known)
  try {
    const answer = await fetch(request)
    if (answer.status === 200) await kept.put(request, answer.clone())
    return isolatedAnswer(answer)
  } catch (error) {
    if (known) return isolatedAnswer(known)
    throw error
  }
}

function isolatedAnswer(answer: Response): Response {
  if (answer.status === 0) return answer
  const headers = new Headers(answer.headers)
  headers.set('Cross-Origin-Opener-Policy', 'same-origin')
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp')
  headers.set('Cross-Origin-Resource-Policy', 'same-origin')
  const { status, statusText } = answer
  return new Response(status === 204 || status === 304 ? null : answer.body, { status, statusText, headers })
}

export {}
