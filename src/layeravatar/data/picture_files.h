// Pictures of one person from files of a user's own, with cameras and perhaps labels: what `fit` and `edit` take. No LibTorch.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"

namespace layeravatar::data {

struct PictureFiles {
  std::vector<std::filesystem::path> images;  // .png or .jpg, or one folder, whose pictures are taken by name
  std::filesystem::path cameras;              // a cam_param .json with a matrix for each picture in order, or a folder with <name>.json
  std::vector<std::filesystem::path> masks;   // of each picture in order, or one folder with <name>.png or <name>_0.png and <name>_1.png; empty: none
};

/// Files of the pictures, a folder's sorted by name. Throws Error(kInput) where there is none.
std::vector<std::filesystem::path> picture_files(const std::vector<std::filesystem::path>& given);

/// A square picture as colours [size, size, 3] on white. Alpha is straight coverage. Throws Error(kInput).
io::Image read_square_picture(const std::filesystem::path& file);

/// One camera for each picture, of their size: the release's focal length in proportion. Throws Error(kInput):
/// "<file>: expected 2 cameras, found 1", "<folder>: picture 'a' has no camera file".
std::vector<geometry::Camera> read_picture_cameras(const std::filesystem::path& cameras, const std::vector<std::filesystem::path>& images, int size);

/// A scene whose views are whole pictures of one size, named by their files, in the order given; its params are the default.
/// Labels: those of the masks, grey pictures of 0..5 or the release's pairs; without masks 1 in the silhouette, by the alpha channel or, without one, where a picture
/// is not white. With masks, what has label 0 in a picture whose corners are not white becomes white. Throws Error(kInput) for a
/// picture that is not square or of another size than the first, a mask of another size, a value above 5, a picture without person, or one whose silhouette nothing tells.
Scene read_pictures(const PictureFiles& files);

}  // namespace layeravatar::data
