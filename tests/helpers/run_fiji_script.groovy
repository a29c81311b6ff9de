// Runs a Fiji script without Fiji: groovy -cp ij.jar run_fiji_script.groovy SCRIPT IMAGE RESULT name=value...
// With escape=yes somebody presses that key all the time. What the lines #@ declare is bound as SciJava binds it: the open image, and the values.

import ij.IJ

def (script, path, result) = args.toList().take(3)
def declared = new File(script).readLines().findAll { it.startsWith('#@') }
def binding = new Binding()
args.toList().drop(3).each { def at = it.indexOf('='); binding.setVariable(it[0..<at], it.substring(at + 1)) }
def image = IJ.openImage(path)
image.title = 'cells, raw'
image.changes = true
binding.image = image
declared.each {
    def name = it.trim().split(/\s+/)[-1]
    if (!it.startsWith('#@output') && !binding.hasVariable(name)) throw new IllegalArgumentException(name)
}
if (binding.hasVariable('escape'))
    Thread.startDaemon { while (true) { IJ.setKeyDown(java.awt.event.KeyEvent.VK_ESCAPE); sleep(20) } }
new GroovyShell(this.class.classLoader, binding).evaluate(
    new File(script).readLines().findAll { !it.startsWith('#@') }.join('\n'), 'Script.groovy')
if (!binding.hasVariable('restored')) {
    println 'no result'
    System.exit(0)
}
def restored = binding.restored
println groovy.json.JsonOutput.toJson([
    kept: [image.title, image.changes], title: restored.title, unit: restored.calibration.unit,
    pixel: restored.calibration.pixelWidth, interval: restored.calibration.frameInterval,
    shown: restored.luts.collect { [it.min, it.max] },
    sizes: restored.dimensions.toList()])
IJ.saveAsTiff(restored, result)
