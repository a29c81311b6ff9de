// Restores the selected rectangle (or all of the image, if nothing is selected) with `unifmir restore`,
// and adds the result to the project. Run it in QuPath's script editor (Automate > Script editor).
// Set the first four lines. For QuPath 0.5 and newer.

def unifmir = 'unifmir'            // the command, or its full path
def task = 'sr'
def more = []                      // options of `unifmir restore`, as ['--model', 'unifmir-sr-er']
def folderName = 'restored'        // in the project's folder

import java.awt.image.BufferedImage
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.regions.RegionRequest

def project = getProject()
if (project == null) throw new IllegalStateException('open a project first: the result is added to it')
def server = getCurrentServer()
if (server.isRGB()) throw new IllegalStateException('this is a colour picture: unifmir restores fluorescence channels')

// Out: the pixels as they are, at full resolution, with all channels and the pixel size.
def folder = buildFilePath(PROJECT_BASE_DIR, folderName)
mkdirs(folder)
def roi = getSelectedROI()
def name = getProjectEntry().getImageName().replaceAll('[^A-Za-z0-9._-]+', '_')
if (roi != null) name += '_' + (roi.getBoundsX() as int) + '_' + (roi.getBoundsY() as int)
def sent = buildFilePath(folder, name + '.ome.tif')
def request = roi == null ?
    RegionRequest.createInstance(server) :
    RegionRequest.createInstance(server.getPath(), 1.0, roi)
writeImageRegion(server, request, sent)

// Restored by a process of its own.
def result = buildFilePath(folder, name + '.' + task + '.ome.tif')
def command = [unifmir, 'restore', sent, '--task', task, '--out', result, '--overwrite'] + more
println command.join(' ')
def process = new ProcessBuilder(command*.toString()).redirectErrorStream(true).start()
process.inputStream.eachLine { println it }
if (process.waitFor() != 0) throw new IOException('unifmir restore failed: see above')

// In: a new image of the project.
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage.class, new File(result).toURI().toString())
if (support == null || support.builders.isEmpty()) throw new IOException('QuPath cannot open ' + result)
def entry = project.addImage(support.builders[0])
entry.setImageName(name + ' (' + task + ')')
project.syncChanges()
println 'added to the project: ' + entry.getImageName() + '. Refresh its list (right click) to see it'
