// Hands the image in front to `unifmir serve` by curl, and opens the result, with its pixel size and display
// range. For ImageJ 1.53 and newer, Fiji too, where curl is on the PATH (it is part of Windows 10, macOS, Linux).
// Run it with Plugins > Macros > Run..., or in a macro: runMacro("/path/to/UniFMIR_Restore.ijm", "task=sr").
// In the argument: task, model, server, and more (settings as JSON without braces, at the end).

argument = getArgument();
task = option(argument, "task", "");
model = option(argument, "model", "unifmir-small-sim");
server = option(argument, "server", "http://127.0.0.1:8000");
more = "";
at = indexOf(argument, "more=");
if (at >= 0) more = substring(argument, at + 5);
if (task == "") {
  Dialog.create("UniFMIR Restore");
  Dialog.addChoice("Task", newArray("sr", "denoise", "isotropic", "projection", "volume"));
  Dialog.addString("Model", model, 24);
  Dialog.addString("More settings", "", 24);
  Dialog.addString("Server", server, 24);
  Dialog.show();
  task = Dialog.getChoice();
  model = Dialog.getString();
  more = Dialog.getString();
  server = Dialog.getString();
}

folder = getDirectory("temp") + "unifmir-" + getTime();
File.makeDirectory(folder);
sent = folder + File.separator + "image.tif";
got = folder + File.separator + "restored.tif";
cookies = folder + File.separator + "cookies.txt";

// A copy is saved: the user's image keeps its name, its selection and that it was changed.
title = getTitle();
image = getImageID();
chosen = selectionType() != -1;
if (chosen) run("Select None");
run("Duplicate...", "title=unifmir duplicate");
saveAs("Tiff", sent);
close();
selectImage(image);
if (chosen) run("Restore Selection");

settings = "{\"task\": \"" + task + "\", \"model\": \"" + model + "\"";
if (more != "") settings = settings + ", " + more;
settings = settings + "}";
job = exec("curl", "-sS", "-c", cookies, "-F", "settings=" + settings, "-F", "image=@" + sent, server + "/api/restore");
id = text(job, "id");
if (id == "") failed(job);
place = server + "/api/jobs/" + id;
state = "waiting";
while (state == "waiting" || state == "running") {
  wait(300);
  job = exec("curl", "-sS", "-b", cookies, place);
  state = text(job, "state");
  showStatus("UniFMIR: " + state);
  total = number(job, "total");
  if (total > 0) showProgress(number(job, "done") / total);
}
if (state != "done") failed(job);
// What a function gives is printed where it is not taken.
answer = exec("curl", "-sSf", "-b", cookies, "-o", got, place + "/result");
answer = exec("curl", "-sS", "-b", cookies, "-X", "DELETE", place);
open(got);
rename(title + " (" + task + ")");
cleared();

function option(argument, name, otherwise) {
  words = split(argument, " ");
  for (i = 0; i < words.length; i++)
    if (startsWith(words[i], name + "=")) return substring(words[i], lengthOf(name) + 1);
  return otherwise;
}

function text(json, name) {
  at = indexOf(json, "\"" + name + "\":\"");
  if (at < 0) return "";
  rest = substring(json, at + lengthOf(name) + 4);
  end = indexOf(rest, "\"");
  while (end > 0 && substring(rest, end - 1, end) == "\\") end = indexOf(rest, "\"", end + 1);
  return replace(substring(rest, 0, end), "\\\\(.)", "$1");
}

function number(json, name) {
  at = indexOf(json, "\"" + name + "\":");
  if (at < 0) return 0;
  value = parseInt(substring(json, at + lengthOf(name) + 3, minOf(lengthOf(json), at + lengthOf(name) + 23)));
  if (isNaN(value)) return parseDigits(substring(json, at + lengthOf(name) + 3));
  return value;
}

function parseDigits(rest) {
  digits = 0;
  while (digits < lengthOf(rest) && indexOf("0123456789", substring(rest, digits, digits + 1)) >= 0) digits++;
  if (digits == 0) return 0;
  return parseInt(substring(rest, 0, digits));
}

function cleared() {
  files = newArray(sent, got, cookies, folder);
  for (i = 0; i < files.length; i++)
    if (File.exists(files[i])) gone = File.delete(files[i]);
}

function failed(answer) {
  cleared();
  message = text(answer, "message");
  if (message == "") message = "nothing answers at " + server + ". Start it in a terminal: unifmir serve. " + answer;
  exit("UniFMIR: " + message);
}
