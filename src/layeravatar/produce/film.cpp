#include "layeravatar/produce/film.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/produce/studio.h"

namespace layeravatar::produce {

namespace {
constexpr std::size_t kWaitingBytes = std::size_t{32} << 20;  // of frames that the encoder has not taken: it takes none for its first 0.1 s

std::size_t frames_waiting(int width, int height) {
  return std::max<std::size_t>(4, kWaitingBytes / std::max<std::size_t>(1, static_cast<std::size_t>(3 * width) * static_cast<std::size_t>(height)));
}

io::Image row(const std::vector<std::shared_ptr<const io::Image>>& pictures) {
  std::vector<io::Image> cells;
  for (const auto& one : pictures) cells.push_back(*one);
  return tile(cells, static_cast<int>(cells.size()));
}

}

Film::Film(std::filesystem::path file, int width, int height, double fps, Say say) : file_(std::move(file)), queue_(1, frames_waiting(width, height)) {
  queue_.add([=, this, say = std::move(say)] {
    const bool even = width % 2 == 0 && height % 2 == 0;
    if (even && io::have_ffmpeg()) writer_ = std::make_unique<io::VideoWriter>(file_, width, height, fps);
    else say(fmt::format("{}: not made, {}; the frames are PNG files", file_.string(), even ? "there is no ffmpeg program" : "a film needs an even size"));
  });
}

void Film::add(ViewWriter::Picture frame) { add(std::vector{std::move(frame)}); }

void Film::add(std::vector<ViewWriter::Picture> frames) {
  queue_.add([this, frames = std::move(frames)] {
    std::vector<std::shared_ptr<const io::Image>> pictures;
    try {
      for (const auto& frame : frames) pictures.push_back(frame.get());
    } catch (const std::future_error&) {
      return;
    }
    if (writer_) writer_->add(pictures.size() == 1 ? *pictures[0] : row(pictures));
  });
}

void Film::commit(std::vector<std::filesystem::path>& written) {
  queue_.finish();
  if (!writer_) return;
  writer_->commit();
  written.push_back(file_);
}

}  // namespace layeravatar::produce
