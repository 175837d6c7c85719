#include "layeravatar/produce/film.h"

#include <fmt/format.h>

namespace layeravatar::produce {

namespace {
constexpr std::size_t kWaiting = 4;  // frames
}

Film::Film(std::filesystem::path file, double fps, Say say) : file_(std::move(file)), fps_(fps), say_(std::move(say)), queue_(1, kWaiting) {}

void Film::add(std::shared_ptr<const io::Image> frame) {
  if (!open_) {
    open_ = true;
    const bool even = frame->width % 2 == 0 && frame->height % 2 == 0;
    if (even && io::have_ffmpeg()) writer_ = std::make_unique<io::VideoWriter>(file_, frame->width, frame->height, fps_);
    else say_(fmt::format("{}: not made, {}; the frames are PNG files", file_.string(), even ? "there is no ffmpeg program" : "a film needs an even size"));
  }
  if (writer_) queue_.add([this, frame = std::move(frame)] { writer_->add(*frame); });
}

void Film::commit(std::vector<std::filesystem::path>& written) {
  if (!writer_) return;
  queue_.finish();
  writer_->commit();
  written.push_back(file_);
}

}  // namespace layeravatar::produce
