import { render } from 'preact'
import { ServerEngine } from './engine/server'
import { App } from './page/app'

render(<App engine={new ServerEngine()} />, document.getElementById('page')!)
