#include "layeravatar/io/video.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

// For the shell: everything inside single quotes is literal.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

bool have_ffmpeg() {
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "";
  for (std::size_t end = 0; !rest.empty(); rest.erase(0, end == std::string::npos ? rest.size() : end + 1)) {
    end = rest.find(':');
    const std::filesystem::path file = std::filesystem::path(rest.substr(0, end)) / "ffmpeg";
    if (::access(file.c_str(), X_OK) == 0) return true;
  }
  return false;
}

VideoWriter::VideoWriter(std::filesystem::path path, int width, int height, double fps)
    : path_(std::move(path)), width_(width), height_(height) {
  if (width <= 0 || height <= 0 || width % 2 != 0 || height % 2 != 0 || !(fps > 0))
    throw Error(ErrorKind::kConfig, fmt::format("{}: {}x{} at {} frames a second, must be even sizes and a positive rate",
                                                path_.string(), width, height, fps));
  if (!have_ffmpeg()) throw Error(ErrorKind::kOutput, path_.string() + ": no ffmpeg program found; frames were kept as PNG");
  ::signal(SIGPIPE, SIG_IGN);  // a dead ffmpeg must end as an error of write(), not as the end of this program
  temporary_ = path_;
  temporary_ += fmt::format(".{}.part.mp4", ::getpid());
  const std::string command = fmt::format(
      "ffmpeg -y -loglevel error -f rawvideo -pix_fmt rgb24 -s {}x{} -r {} -i - -c:v libx264 -preset veryfast -crf 18 "
      "-pix_fmt yuv420p -threads 2 -movflags +faststart -map_metadata -1 -fflags +bitexact -flags:v +bitexact {} >&2",
      width, height, fps, quoted(temporary_.string()));
  pipe_ = ::popen(command.c_str(), "w");
  if (pipe_ == nullptr) throw Error(ErrorKind::kOutput, path_.string() + ": cannot start ffmpeg");
}

VideoWriter::~VideoWriter() {
  if (pipe_ != nullptr) ::pclose(pipe_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void VideoWriter::add(const Image& frame) {
  LAV_CHECK(frame.width == width_ && frame.height == height_ && frame.channels == 3, "frame of another size");
  if (std::fwrite(frame.pixels.data(), 1, frame.pixels.size(), pipe_) != frame.pixels.size())
    throw Error(ErrorKind::kOutput, path_.string() + ": ffmpeg stopped taking frames");
}

void VideoWriter::commit() {
  const int status = ::pclose(pipe_);
  pipe_ = nullptr;
  if (status != 0)
    throw Error(ErrorKind::kOutput, fmt::format("{}: ffmpeg failed with exit code {}", path_.string(),
                                                WIFEXITED(status) ? WEXITSTATUS(status) : -1));
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) throw Error(ErrorKind::kOutput, fmt::format("{}: cannot rename: {}", path_.string(), error.message()));
}

}  // namespace layeravatar::io
