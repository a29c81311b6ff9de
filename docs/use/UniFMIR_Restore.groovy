#@ ImagePlus image
#@ String (label="Task", choices={"sr", "denoise", "isotropic", "projection", "volume"}) task
#@ String (label="Model", value="unifmir-small-sim") model
#@ String (label="More settings", value="", required=false, description="as JSON: z_factor: 4, tile: 256") more
#@ String (label="Server", value="http://127.0.0.1:8000") server
#@output ImagePlus restored

// Hands the image in front to `unifmir serve` and opens the result, with its pixel size and display range.
// In Fiji: put this file into the folder Fiji.app/scripts/Plugins, restart, and take Plugins > UniFMIR Restore.
// The recorder writes it as a line of a macro. Escape cancels. A password is that in the environment
// variable UNIFMIR_SERVE_PASSWORD.

import ij.IJ
import ij.ImagePlus
import ij.io.FileSaver

/** Calls of one session of the server. */
class Caller {
    String server
    String cookie

    HttpURLConnection connection(String method, String path) {
        def call = (HttpURLConnection) new URL(server + path).openConnection()
        call.requestMethod = method
        if (cookie != null) call.setRequestProperty('Cookie', cookie)
        def password = System.getenv('UNIFMIR_SERVE_PASSWORD')
        if (password) call.setRequestProperty('Authorization', 'Bearer ' + password)
        return call
    }

    /** Text of an answer; its message where the server refuses. */
    String answer(HttpURLConnection call) {
        if (call.responseCode >= 400) {
            def said = call.errorStream == null ? '' : call.errorStream.getText('UTF-8')
            throw new IOException(text(said, 'message') ?: 'the server answered ' + call.responseCode)
        }
        def given = call.getHeaderField('Set-Cookie')
        if (given != null) cookie = given.split(';')[0]
        return call.inputStream.getText('UTF-8')
    }

    String upload(File file, String settings) {
        def boundary = 'unifmir' + UUID.randomUUID().toString().replace('-', '')
        def line = '\r\n'
        def before = '--' + boundary + line + 'Content-Disposition: form-data; name="settings"' + line + line +
            settings + line + '--' + boundary + line +
            'Content-Disposition: form-data; name="image"; filename="' + file.name + '"' + line +
            'Content-Type: image/tiff' + line + line
        def start = before.getBytes('UTF-8')
        def end = (line + '--' + boundary + '--' + line).getBytes('UTF-8')
        def call = connection('POST', '/api/restore')
        call.doOutput = true
        call.setRequestProperty('Content-Type', 'multipart/form-data; boundary=' + boundary)
        call.setFixedLengthStreamingMode(start.length + file.length() + end.length)
        call.outputStream.withStream { out ->
            out.write(start)
            file.withInputStream { out << it }
            out.write(end)
        }
        return answer(call)
    }

    /** A text in the JSON of an answer; null if it is not there. */
    static String text(String json, String name) {
        def found = json =~ ('"' + name + '"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"')
        return found.find() ? found.group(1).replaceAll('\\\\(.)', '$1') : null
    }

    /** A number in it; 0 if it is not there. */
    static int number(String json, String name) {
        def found = json =~ ('"' + name + '"\\s*:\\s*([0-9]+)')
        return found.find() ? found.group(1) as int : 0
    }
}

def quoted = { '"' + it.replace('\\', '\\\\').replace('"', '\\"') + '"' }
def settings = '{"task": ' + quoted(task) + ', "model": ' + quoted(model)
if (more?.trim())
    settings += ', ' + more.trim().replaceAll('([A-Za-z_]+)\\s*:', '"$1":')
settings += '}'

// Saving gives an image the file's name, and calls it saved: the user's image stays what it was.
def folder = File.createTempDir('unifmir-', '')
def title = image.title, changed = image.changes, known = image.originalFileInfo
def sent = new File(folder, (title.replaceAll('\\.tiff?$', '').replaceAll('[^A-Za-z0-9._-]+', '_') ?: 'image') + '.tif')
def got = new File(folder, 'restored.tif')
try {
    def saver = new FileSaver(image)
    def saved = image.stackSize > 1 ? saver.saveAsTiffStack(sent.path) : saver.saveAsTiff(sent.path)
    image.title = title
    image.changes = changed
    image.fileInfo = known
    if (!saved) throw new IOException(sent.path + ' could not be written')

    IJ.resetEscape()
    def caller = new Caller(server: server.trim().replaceAll('/+$', ''))
    def job = caller.upload(sent, settings)
    def place = '/api/jobs/' + Caller.text(job, 'id')
    while (Caller.text(job, 'state') in ['waiting', 'running']) {
        IJ.showStatus('UniFMIR: ' + Caller.text(job, 'state'))
        IJ.showProgress(Caller.number(job, 'done'), Math.max(1, Caller.number(job, 'total')))
        if (IJ.escapePressed()) {
            caller.answer(caller.connection('DELETE', place))
            throw new InterruptedException('cancelled')
        }
        sleep(300)
        job = caller.answer(caller.connection('GET', place))
    }
    if (Caller.text(job, 'state') != 'done')
        throw new IOException(Caller.text(job, 'message') ?: 'the job was ' + Caller.text(job, 'state'))
    def call = caller.connection('GET', place + '/result')
    call.inputStream.withStream { input -> got.withOutputStream { it << input } }
    caller.answer(caller.connection('DELETE', place))

    restored = IJ.openImage(got.path)
    if (restored == null) throw new IOException('the result could not be opened')
    restored.title = title + ' (' + task + ')'
} catch (InterruptedException stopped) {
    IJ.showStatus('UniFMIR: cancelled')
} catch (ConnectException refused) {
    IJ.error('UniFMIR', 'Nothing answers at ' + server + '. Start it in a terminal: unifmir serve')
    throw refused
} catch (IOException why) {
    IJ.error('UniFMIR', why.message)
    throw why
} finally {
    IJ.showProgress(1, 1)
    folder.deleteDir()
}
